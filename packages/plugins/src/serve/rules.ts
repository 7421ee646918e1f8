import path from 'node:path';
import { childEnvironment, EruError, isJsonObject, run, type Json } from '@eru/kit';
import { unlimited, type Allotment, type Measure } from '@eru/scheduler';
import { defineKind } from './amounts-kind.ts';
import { servedKind, type Planner, type ServedKind } from './planner.ts';

/** How long a program may think; core's own limit of a plugin call is usually shorter. */
const timeoutMs = 120_000;

/**
 * A kind of which a program in any language makes the decisions, and Eru keeps the books: usage is the sum of what the
 * program gave, number by number. It answers two questions, read as JSON from standard input, and a third where workloads
 * may change in place; see docs/kinds.md. What it says on standard error with an exit status is the refusal.
 */
export function rulesKind(name: string, program: readonly string[]): ServedKind {
  const books = servedKind(defineKind({ name }));
  const [command, ...args] = program as [string, ...string[]];

  const ask = async (question: { readonly question: string; readonly [key: string]: unknown }): Promise<Json> => {
    const { code, stdout, stderr } = await run(command, args, {
      input: JSON.stringify(question),
      env: childEnvironment(),
      timeoutMs,
    });
    const label = `${path.basename(args.at(-1) ?? command)}, ${question.question}`;
    if (code !== 0) throw new EruError('failed', stderr.trim() || `${label}: exit status ${code}`);
    try {
      return JSON.parse(stdout) as Json;
    } catch (error) {
      throw new EruError('failed', `${label}: bad JSON (${(error as Error).message}): ${stdout.slice(0, 200)}`);
    }
  };

  const planner: Planner = {
    async capacity(nodes, request) {
      const answer = await ask({ question: 'capacity', request, nodes: Object.fromEntries(nodes) });
      if (!isJsonObject(answer)) throw odd('capacity', 'an object of counts by node name', answer);
      return new Map(
        [...nodes.keys()].map((node) => [node, room(node, Object.hasOwn(answer, node) ? (answer[node] as Json) : 0)]),
      );
    },

    async deploy(node, part, request, count) {
      const answer = await ask({ question: 'allocate', request, node, ...part, count });
      if (!Array.isArray(answer) || answer.length !== count)
        throw odd('allocate', `a list of ${count} objects`, answer);
      return answer.map((each) => allotment('allocate', each));
    },

    async realloc(node, { capacity, usage }, current, request) {
      const without = books.kind.book(usage, [], [current]);
      const answer = await ask({ question: 'reallocate', request, current, node, capacity, usage: without });
      return allotment('reallocate', answer);
    },
  };
  return { kind: books.kind, planner };
}

/** A program that does not say how full a node is has no part in levelling: weight 0. */
function room(node: string, answer: Json): Measure {
  if (answer === null) return { count: unlimited, usage: 0, rate: 0, weight: 0 };
  if (typeof answer !== 'number' || !Number.isInteger(answer) || answer < 0)
    throw odd('capacity', `a whole number of at least 0, or null for no limit, for node ${node}`, answer);
  return { count: answer, usage: 0, rate: 0, weight: 0 };
}

function allotment(question: string, answer: Json): Allotment {
  if (!isJsonObject(answer) || !isJsonObject(answer['resources']))
    throw odd(question, 'an object with resources', answer);
  const params = answer['engine_params'] ?? answer['resources'];
  if (!isJsonObject(params)) throw odd(question, 'engine_params as an object', params);
  return { resources: answer['resources'], engineParams: params };
}

function odd(question: string, expected: string, answer: Json): EruError {
  return new EruError(
    'failed',
    `${question}: should be answered with ${expected}, not with ${JSON.stringify(answer).slice(0, 200)}`,
  );
}
