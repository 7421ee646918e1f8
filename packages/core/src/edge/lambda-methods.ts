import { pb, type MessageInitShape, type ServiceHandlers } from '@eru/contract';
import type { ExitState } from '@eru/engines';
import { EruError, isEruError, Queue } from '@eru/kit';

import type { CreateEvent } from '../create.ts';
import { printed } from '../lambda-output.ts';
import { deploy, leniently } from './deploy-methods.ts';
import { readDeploy } from './deploy-options.ts';
import type { Edge } from './edge.ts';
import { feed } from './exec-methods.ts';

type AttachMessage = MessageInitShape<typeof pb.AttachWorkloadMessageSchema>;
type Requests = AsyncIterator<pb.RunAndWaitOptions>;

/** Of `async_timeout` 0: the original's global timeout. */
const defaultAsyncSeconds = 300;

/** Messages that wait for a slow client; past that its workloads' output is read no further. */
const backlog = 256;

export function lambdaMethods(edge: Edge): ServiceHandlers<typeof pb.CoreRPC> {
  return {
    /** Section 4.7: all ids first, then output, then one exit message for each that was created, after its removal. */
    runAndWait: async function* (requests, { signal }): AsyncIterable<AttachMessage> {
      const iterator = requests[Symbol.asyncIterator]();
      const first = await iterator.next();
      if (first.done === true) throw new EruError('invalid', 'the first message must say what to run');
      const { deployOptions, async: detached, asyncTimeout } = first.value;
      const request = readDeploy(deployOptions, { anyEngine: false });
      const stdin = request.template.stdin && !detached;
      if (stdin && (request.count !== 1 || request.strategy !== 'AUTO'))
        throw new EruError('invalid', 'count must be 1 if OpenStdin is true');
      const run = new LambdaRun(edge, stdin ? iterator : undefined, detached, asyncTimeout, signal);
      const resources = leniently(edge, deployOptions ?? { resources: {} });
      const template = { ...request.template, stdin };
      run.start((lambda, wanted) => deploy(edge, { ...request, template }, resources, wanted, { lambda }));
      yield* run.messages();
    },
  };
}

class LambdaRun {
  readonly #edge: Edge;
  readonly #input: Requests | undefined;
  readonly #detached: boolean;
  readonly #signal: AbortSignal;
  readonly #deadlineMs: number;
  readonly #output = new Queue<AttachMessage>(backlog);
  readonly #created: Promise<{ id: string; error: string }[]>;
  #allCreated: (created: { id: string; error: string }[]) => void = () => {};
  readonly #idsTold: Promise<void>;
  #tellIds: () => void = () => {};

  constructor(edge: Edge, input: Requests | undefined, detached: boolean, timeoutSeconds: number, client: AbortSignal) {
    const { clock } = edge.context;
    this.#edge = edge;
    this.#input = input;
    this.#detached = detached;
    const seconds = timeoutSeconds > 0 ? timeoutSeconds : defaultAsyncSeconds;
    this.#deadlineMs = detached ? clock.now() + seconds * 1000 : 0;
    if (detached) {
      const over = new AbortController();
      clock.timer(seconds * 1000, () => over.abort(new DOMException('async_timeout is over', 'TimeoutError')));
      this.#signal = over.signal;
    } else this.#signal = client;
    this.#created = new Promise((resolve) => {
      this.#allCreated = resolve;
    });
    this.#idsTold = new Promise((resolve) => {
      this.#tellIds = resolve;
    });
  }

  start(
    begin: (
      lambda: { deadlineMs: number; follow: (id: string, node: string, exited: Promise<ExitState>) => Promise<void> },
      wanted: AbortSignal,
    ) => AsyncIterable<CreateEvent>,
  ): void {
    const follow = (id: string, node: string, exited: Promise<ExitState>): Promise<void> =>
      this.#follow(id, node, exited).catch((error: unknown) => this.#say(id, EruError.from(error).message));
    void this.#pump(begin({ deadlineMs: this.#deadlineMs, follow }, this.#signal));
  }

  async *messages(): AsyncIterable<AttachMessage> {
    try {
      const created = await this.#created;
      for (const { id } of created) yield { workloadId: id, stdStreamType: pb.StdStreamType.TYPEWORKLOADID };
      for (const { error } of created) {
        if (error !== '') yield eruError('', `Create workload failed ${error}`);
      }
      this.#tellIds();
      if (!this.#detached) yield* this.#output;
    } finally {
      this.#tellIds();
      this.#output.end();
    }
  }

  async #pump(events: AsyncIterable<CreateEvent>): Promise<void> {
    const created: { id: string; error: string }[] = [];
    const exits: Promise<unknown>[] = [];
    let planned = Number.POSITIVE_INFINITY;
    const add = (id: string, error: string): void => {
      created.push({ id, error });
      if (created.length >= planned) this.#allCreated(created);
    };
    try {
      for await (const event of events) {
        if (event.type === 'planned') planned = event.slots.length;
        else if (event.type === 'refused') created.push({ id: '', error: event.plan.message });
        else if (event.type === 'done') add(event.id, event.error?.message ?? '');
        else if (event.type === 'exited') exits.push(this.#idsTold.then(() => this.#exited(event)));
      }
    } catch (error) {
      created.push({ id: '', error: EruError.from(error).message });
    }
    this.#allCreated(created);
    await Promise.all(exits);
    this.#output.end();
  }

  async #exited({ id, exit, error }: Extract<CreateEvent, { type: 'exited' }>): Promise<void> {
    if (exit === undefined) await this.#say(id, error?.message ?? 'it cannot be waited for');
    else await this.#output.put({ workloadId: id, data: utf8.encode(`[exitcode] ${exit.exitCode}`) });
  }

  async #say(id: string, text: string): Promise<void> {
    await this.#output.put(eruError(id, text));
  }

  /** With stdin by attaching, byte by byte; what has ended before that, and everything else, line by line. */
  async #follow(id: string, node: string, exited: Promise<ExitState>): Promise<void> {
    const { context } = this.#edge;
    const engine = () => context.engineOf(node);
    if (this.#input !== undefined) {
      try {
        const session = await engine().attach(id, { signal: this.#signal });
        void feed(session, this.#input, ({ cmd }) => cmd);
        for await (const { data } of session.output) if (!(await this.#output.put({ workloadId: id, data }))) break;
        return await session.close();
      } catch (error) {
        if (!isEruError(error, 'precondition')) throw error;
      }
    }
    for await (const { stream, data } of printed(engine, id, exited, context.clock, this.#signal)) {
      if (this.#detached) {
        context.logger.info({ workload: id, stream, line: Buffer.from(data).toString().trimEnd() }, 'lambda');
        continue;
      }
      const line = data.at(-1) === 0x0a ? data : Buffer.concat([data, newline]);
      const stdStreamType = stream === 'stderr' ? pb.StdStreamType.STDERR : pb.StdStreamType.STDOUT;
      if (!(await this.#output.put({ workloadId: id, data: line, stdStreamType }))) return;
    }
  }
}

function eruError(workloadId: string, text: string): AttachMessage {
  return { workloadId, data: utf8.encode(text), stdStreamType: pb.StdStreamType.ERUERROR };
}

const utf8 = new TextEncoder();
const newline = Uint8Array.of(0x0a);
