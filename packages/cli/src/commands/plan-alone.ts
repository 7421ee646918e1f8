import { pb } from '@eru/contract';
import { EruError, parseJsonObject, type Json, type JsonObject } from '@eru/kit';
import {
  answerDocument,
  builtinKinds,
  choiceDocument,
  createScheduler,
  explain,
  planStandalone,
  readNodes,
  readRequest,
  type PlannedNode,
  type StandaloneRequest,
  type Strategy,
} from '@eru/scheduler';

import type { Context } from '../context.ts';
import { exitCodes } from '../context.ts';
import { showPlan } from '../show/plan-view.ts';
import { refusalOf } from '../show/refusal.ts';
import { givenFlags, load, readNamed, specRequest, written, type SpecFlags } from '../spec/spec-file.ts';
import * as values from '../spec/values.ts';

/** `eru plan REQUEST --nodes NODES.json`: the planner alone, without a cluster. The same input gives the same bytes. */
export async function planAlone(
  context: Context,
  flags: SpecFlags & { nodes: string; explain?: boolean },
  source: string,
): Promise<number> {
  const scheduler = createScheduler({ kinds: builtinKinds() });
  const { request, choose } = await readAnyRequest(context, source, flags);
  const document = parseJson(await readNamed(flags.nodes, flags.nodes, 'utf8'), flags.nodes);
  const nodes = choose(within(flags.nodes, () => readNodes(scheduler.kinds, document)));
  const answer = within(source, () => planStandalone(scheduler, nodes, request));
  const explained = flags.explain === true && {
    choices: answer.choices.map(choiceDocument),
    explanation: explain(answer.refused),
  };
  const fits = answer.message === '';
  if (fits || context.globals.output !== 'table') {
    await showPlan(context, flags, {
      document: () => ({ ...answerDocument(answer), ...explained }),
      choices: answer.choices,
      listed: answer,
    });
  }
  if (!fits) throw refusalOf(answer.message, answer);
  return exitCodes.ok;
}

interface AnyRequest {
  request: StandaloneRequest;
  /** Those of the nodes that the request may use. */
  choose: (nodes: PlannedNode[]) => PlannedNode[];
}

/** A spec, or a JSON document with the key `resources`. */
async function readAnyRequest(context: Context, source: string, flags: SpecFlags): Promise<AnyRequest> {
  const { text, folder } = await load(context, source);
  const document = parseJsonObject(text);
  if (document !== undefined && 'resources' in document) {
    const whole = withFlags(document, flags);
    return { request: within(source, () => readRequest(whole)), choose: (nodes) => nodes };
  }
  // The pod is a matter of the cluster.
  const { options } = await specRequest({ text, folder, source }, { ...flags, pod: flags.pod ?? 'any' });
  return ofSpec(options as SpecOptions);
}

/** The part of a deploy that planning needs. */
type SpecOptions = Required<
  Pick<pb.DeployOptions, 'name' | 'count' | 'deployStrategy' | 'nodesLimit' | 'labels' | 'resources'>
> & { entrypoint: { name: string }; nodeFilter: { includes: string[]; labels: Record<string, string> } };

function ofSpec({ name, entrypoint, nodeFilter, ...options }: SpecOptions): AnyRequest {
  const { includes, labels } = nodeFilter;
  const decoder = new TextDecoder();
  return {
    request: {
      resources: Object.fromEntries(
        Object.entries(options.resources).map(([kind, bytes]) => [
          kind,
          JSON.parse(decoder.decode(bytes)) as JsonObject,
        ]),
      ),
      count: options.count,
      strategy: pb.DeployOptions_Strategy[options.deployStrategy] as Strategy,
      nodesLimit: options.nodesLimit,
      labels: { ...options.labels, app: name, entrypoint: entrypoint.name },
    },
    choose(nodes) {
      const unknown = includes.find((include) => nodes.every((node) => node.name !== include));
      if (unknown !== undefined) throw new EruError('not_found', `node ${unknown} is not among the nodes`);
      if (includes.length > 0) return nodes.filter((node) => includes.includes(node.name));
      return nodes.filter((node) => Object.entries(labels).every(([label, value]) => node.labels[label] === value));
    },
  };
}

/** What a document says itself may be said by a flag as well; everything else is a matter of specs. */
function withFlags(document: JsonObject, flags: SpecFlags): JsonObject {
  const { count, deployStrategy, nodesLimit } = flags;
  const stray = givenFlags(flags).find((option) => !['count', 'deployStrategy', 'nodesLimit'].includes(option));
  if (stray !== undefined)
    throw new EruError('invalid', `${written(stray)}: is for specs; write it into the resources of the request`);
  return {
    ...document,
    ...(count !== undefined && { count: values.flagged('--count', values.instanceCount, count) }),
    ...(deployStrategy !== undefined && {
      strategy: values.flagged('--deploy-strategy', values.strategy, deployStrategy),
    }),
    ...(nodesLimit !== undefined && { nodes_limit: values.flagged('--nodes-limit', values.nodesLimit, nodesLimit) }),
  };
}

function parseJson(text: string, file: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (cause) {
    throw new EruError('invalid', `${file}: this is no JSON: ${(cause as Error).message}`, { cause });
  }
}

/** Complaints name their file. */
function within<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    const error = EruError.from(thrown);
    if (error.code !== 'invalid') throw thrown;
    throw new EruError('invalid', `${file}: ${error.message}`, { cause: thrown, details: error.details });
  }
}
