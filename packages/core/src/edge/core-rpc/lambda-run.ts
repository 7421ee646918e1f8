import type { ExitState, Session } from '@eru/engines';
import { EruError, isEruError, Queue } from '@eru/kit';
import type { Resources } from '@eru/scheduler';

import type { CreateEvent, Lambda } from '../../operations/create.ts';
import { printed } from '../../operations/lambda-output.ts';
import { deploy } from './deploy-methods.ts';
import type { DeployRequest } from '../wire/deploy-options.ts';
import type { Edge } from '../edge.ts';

/** What a client is told of its lambda, in the order of section 4.7: everything created first, each exit last. */
export type LambdaEvent =
  | { type: 'created'; id: string; name: string; node: string; error: string }
  | { type: 'output'; id: string; stream: 'stdout' | 'stderr'; data: Uint8Array }
  /** Its output cannot be shown. */
  | { type: 'mute'; id: string; error: string }
  | { type: 'exited'; id: string; exit: ExitState | undefined; error: string };

export interface LambdaRequest {
  request: DeployRequest;
  resources: Resources;
  /** Nobody listens after everything is created. */
  detached: boolean;
  /** Of a detached one; 0 = the original's global timeout. */
  timeoutSeconds: number;
  /** Passes input to the running workload; absent without stdin. */
  feed?: (session: Session) => Promise<void>;
}

const defaultSeconds = 300;

/** Events that wait for a slow client; past that its workloads' output is read no further. */
const backlog = 256;

/** @throws EruError `invalid` for stdin to more than one */
export function checkStdin({ template, count, strategy }: DeployRequest): void {
  if (template.stdin && (count !== 1 || strategy !== 'AUTO'))
    throw new EruError('invalid', 'count must be 1 if OpenStdin is true');
}

/** Workloads that run once. `client` aborts when the client has gone: what it had is removed. */
export function runLambda(edge: Edge, request: LambdaRequest, client: AbortSignal): AsyncIterable<LambdaEvent> {
  const run = new LambdaRun(edge, request, client);
  void run.start();
  return run.events();
}

type Created = Extract<LambdaEvent, { type: 'created' }>;

class LambdaRun {
  readonly #edge: Edge;
  readonly #request: LambdaRequest;
  readonly #wanted: AbortSignal;
  readonly #deadlineMs: number;
  readonly #output = new Queue<LambdaEvent>(backlog);
  readonly #created = deferred<Created[]>();
  readonly #told = deferred<void>();

  constructor(edge: Edge, request: LambdaRequest, client: AbortSignal) {
    const { clock } = edge.context;
    this.#edge = edge;
    this.#request = request;
    const timeoutMs = (request.timeoutSeconds > 0 ? request.timeoutSeconds : defaultSeconds) * 1000;
    this.#deadlineMs = request.detached ? clock.now() + timeoutMs : 0;
    this.#wanted = client;
    if (!request.detached) return;
    const over = new AbortController();
    clock.timer(timeoutMs, () => over.abort(new DOMException('its time is over', 'TimeoutError')));
    this.#wanted = over.signal;
  }

  async start(): Promise<void> {
    const created: Created[] = [];
    const exits: Promise<unknown>[] = [];
    let planned = Number.POSITIVE_INFINITY;
    const add = (event: Omit<Created, 'type'>): void => {
      created.push({ type: 'created', ...event });
      if (created.length >= planned) this.#created.resolve(created);
    };
    try {
      for await (const event of this.#deploy()) {
        if (event.type === 'planned') planned = event.slots.length;
        else if (event.type === 'refused') add({ id: '', name: '', node: '', error: event.plan.message });
        else if (event.type === 'done') {
          const { id, name, node, error } = event;
          add({ id, name, node, error: error?.message ?? '' });
        } else if (event.type === 'exited') {
          const { id, exit, error } = event;
          const message = exit === undefined ? (error?.message ?? 'it cannot be waited for') : '';
          exits.push(this.#told.promise.then(() => this.#output.put({ type: 'exited', id, exit, error: message })));
        }
      }
    } catch (error) {
      add({ id: '', name: '', node: '', error: EruError.from(error).message });
    }
    this.#created.resolve(created);
    await Promise.all(exits);
    this.#output.end();
  }

  async *events(): AsyncIterable<LambdaEvent> {
    try {
      yield* await this.#created.promise;
      this.#told.resolve();
      if (!this.#request.detached) yield* this.#output;
    } finally {
      this.#told.resolve();
      this.#output.end();
    }
  }

  #deploy(): AsyncIterable<CreateEvent> {
    const lambda: Lambda = {
      deadlineMs: this.#deadlineMs,
      follow: (id, node, exited) =>
        this.#follow(id, node, exited).catch((error: unknown) => {
          void this.#output.put({ type: 'mute', id, error: EruError.from(error).message });
        }),
    };
    return deploy(this.#edge, this.#request.request, this.#request.resources, this.#wanted, { lambda });
  }

  /** With stdin by attaching, as it comes; what has ended before that, and everything else, line by line. */
  async #follow(id: string, node: string, exited: Promise<ExitState>): Promise<void> {
    const { context } = this.#edge;
    const engine = () => context.engineOf(node);
    const { feed, detached } = this.#request;
    if (feed !== undefined) {
      try {
        const session = await engine().attach(id, { signal: this.#wanted });
        void feed(session);
        for await (const { stream, data } of session.output)
          if (!(await this.#output.put({ type: 'output', id, stream, data }))) break;
        return await session.close();
      } catch (error) {
        if (!isEruError(error, 'precondition')) throw error;
      }
    }
    for await (const { stream, data } of printed(engine, id, exited, context.clock, this.#wanted)) {
      if (detached)
        context.logger.info({ workload: id, stream, line: Buffer.from(data).toString().trimEnd() }, 'lambda');
      else if (!(await this.#output.put({ type: 'output', id, stream, data }))) return;
    }
  }
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
