import { EventEmitter, once } from 'node:events';

import type { Core } from '@eru/client';
import type { eru, MessageInitShape } from '@eru/contract';
import { EruError, retry, type Random } from '@eru/kit';

/** More workloads than this are not wanted: the machine that runs the tests is small. */
const crowd = 12;
const MiB = 2 ** 20;
const memory = 16 * MiB;
/** However often daemons die: requests that wait for a dead one are answered within a lease or two. */
const longestSilenceMs = 60_000;

/** How often each kind of request has been answered well. */
export interface Answered {
  created: number;
  removed: number;
  controlled: number;
  replaced: number;
  reallocated: number;
  lambdas: number;
  executed: number;
  /** Requests that were refused, or that a dying core left without an answer; for those with a key, until it is known. */
  failed: number;
}

/** Clients with a mixed load, what they were told, and may count on. */
export class Load {
  readonly answered: Answered = {
    created: 0,
    removed: 0,
    controlled: 0,
    replaced: 0,
    reallocated: 0,
    lambdas: 0,
    executed: 0,
    failed: 0,
  };
  /** Created, and no request to remove it was ever sent. The value: its memory in bytes. */
  readonly existing = new Map<string, number>();
  readonly removed = new Set<string>();
  /** Whether it runs, after a start or stop that nobody has questioned since. */
  readonly running = new Map<string, boolean>();
  /** What was answered and cannot be true. */
  readonly wrong: string[] = [];
  /** Texts of refusals and failures, with how often each came. */
  readonly complaints = new Map<string, number>();
  /** One request at a time on each workload, so that what was told last is what must hold. */
  readonly #busy = new Set<string>();
  readonly #progress = new EventEmitter();
  readonly #core: () => Core;
  readonly #random: Random;

  constructor(core: () => Core, random: Random) {
    this.#core = core;
    this.#random = random;
  }

  /** Whether this is the name of a workload that the load has asked for. */
  made(name: string): boolean {
    return name.startsWith('churn_') || name.startsWith('lambda_');
  }

  /** One request after the other until `signal` says that it is enough; the last one gets its answer. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#oneRequest();
        this.#progress.emit('answer');
      } catch (error) {
        this.answered.failed += 1;
        const { code, message } = EruError.from(error);
        const text = `${code}: ${message.replaceAll(/[0-9a-f]{16,}|\d+/g, '…')}`;
        this.complaints.set(text, (this.complaints.get(text) ?? 0) + 1);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  /** Resolves when so many more requests have been answered well. @throws when none is for too long */
  async answers(count: number): Promise<void> {
    for (let left = count; left > 0; left--)
      await once(this.#progress, 'answer', { signal: AbortSignal.timeout(longestSilenceMs) }).catch(
        (error: unknown) => {
          const said = [...this.complaints].map(([text, times]) => `${times} × ${text}`).join('; ');
          throw new EruError('timeout', `no request was answered for ${longestSilenceMs / 1000} s: ${said}`, {
            cause: error,
          });
        },
      );
  }

  /** One workload of each sort, and away again. */
  async warmUp(): Promise<void> {
    await this.#lambda();
    await this.#create();
    for (const id of this.existing.keys()) await this.#remove(id);
  }

  async #oneRequest(): Promise<void> {
    const free = [...this.existing.keys()].filter((id) => !this.#busy.has(id));
    const id = free[this.#random.int(Math.max(1, free.length))];
    const dice = this.#random.next();
    if (dice < 0.1) return this.#lambda();
    if (id === undefined || (dice < 0.45 && this.existing.size < crowd)) return this.#create();
    this.#busy.add(id);
    try {
      if (dice < 0.6) await this.#remove(id);
      else if (dice < 0.7) await this.#replace(id);
      else if (dice < 0.8) await this.#realloc(id);
      else if (dice < 0.9) await this.#execute(id);
      else await this.#control(id, this.#random.int(2) === 0 ? 'stop' : 'start');
    } finally {
      this.#busy.delete(id);
    }
  }

  async #create(): Promise<void> {
    const request = { ...this.#deployment(1 + this.#random.int(3)), idempotencyKey: this.#random.hex(16) };
    const created = await this.#untilKnown(async () => {
      const ids: string[] = [];
      const errors: string[] = [];
      for await (const { event } of this.#core().eru.deploy(request, limit())) {
        if (event.case === 'refused') throw new EruError('no_capacity', event.value.message);
        if (event.case !== 'done') continue;
        if (event.value.success) ids.push(event.value.id);
        else errors.push(event.value.error);
      }
      return { ids, errors };
    });
    for (const id of created.ids) {
      this.existing.set(id, memory);
      this.running.set(id, true);
      this.answered.created += 1;
    }
    if (created.errors.length > 0) throw new EruError('failed', created.errors.join('; '));
  }

  async #remove(id: string): Promise<void> {
    // From here on nobody may count on it.
    const before = this.existing.get(id) ?? 0;
    const ran = this.running.get(id);
    this.existing.delete(id);
    this.running.delete(id);
    const request = { ids: [id], force: true, idempotencyKey: this.#random.hex(16) };
    const error = await this.#untilKnown(async () => {
      for await (const event of this.#core().eru.remove(request, limit())) if (!event.success) return event.error;
      return undefined;
    });
    if (error === undefined) {
      this.removed.add(id);
      this.answered.removed += 1;
      return;
    }
    this.existing.set(id, before);
    if (ran === false) this.running.set(id, false);
    throw new EruError('failed', error);
  }

  async #replace(id: string): Promise<void> {
    const before = this.existing.get(id) ?? 0;
    const ran = this.running.get(id);
    this.running.delete(id);
    const overlap = this.#random.int(2) === 0;
    const request = { ...this.#deployment(1), ids: [id], overlap, idempotencyKey: this.#random.hex(16) };
    const event = await this.#untilKnown(async () => {
      for await (const one of this.#core().eru.replace(request, limit())) return one;
      throw new EruError('failed', `a replace of ${id} answered nothing`);
    });
    if (!event.success) {
      if (ran !== undefined) this.running.set(id, ran);
      throw new EruError('failed', event.error);
    }
    this.existing.delete(id);
    this.removed.add(id);
    const made = event.created?.id ?? '';
    this.existing.set(made, overlap ? memory : before);
    this.running.set(made, true);
    this.answered.replaced += 1;
  }

  async #realloc(id: string): Promise<void> {
    const before = this.existing.get(id) ?? 0;
    // A limit below what is in use would be the engine's to refuse.
    const change = before <= memory || this.#random.int(2) === 0 ? MiB : -MiB;
    const cpumem = { 'memory-request': change, 'memory-limit': change };
    const request = {
      id,
      resources: { cpumem: Buffer.from(JSON.stringify(cpumem)) },
      idempotencyKey: this.#random.hex(16),
    };
    await this.#untilKnown(() => this.#core().eru.realloc(request, limit()));
    this.existing.set(id, before + change);
    this.answered.reallocated += 1;
  }

  async #control(id: string, type: 'stop' | 'start'): Promise<void> {
    // How far one came that failed nobody says.
    this.running.delete(id);
    const request = { ids: [id], type, force: true, idempotencyKey: this.#random.hex(16) };
    const error = await this.#untilKnown(async () => {
      for await (const event of this.#core().eru.control(request, limit())) if (!event.success) return event.error;
      return undefined;
    });
    if (error !== undefined) throw new EruError('failed', error);
    this.running.set(id, type === 'start');
    this.answered.controlled += 1;
  }

  async #execute(id: string): Promise<void> {
    if (this.running.get(id) !== true) return;
    const word = this.#random.letters(8);
    const open = { id, command: ['echo', word], env: [], dir: '', user: '', stdin: false, tty: false };
    const answers = this.#core().eru.exec(
      oneRequest<MessageInitShape<typeof eru.ExecRequestSchema>>({ request: { case: 'open', value: open } }),
      limit(),
    );
    let output = '';
    let code: number | undefined;
    for await (const { response } of answers) {
      if (response.case === 'stdout') output += Buffer.from(response.value).toString();
      if (response.case === 'exitCode') code = response.value;
    }
    if (code === undefined) throw new EruError('failed', 'a command ended without an exit code');
    if (code !== 0 || output !== `${word}\n`)
      this.wrong.push(`echo ${word} in ${id} ended with ${code} and said ${JSON.stringify(output)}`);
    this.answered.executed += 1;
  }

  async #lambda(): Promise<void> {
    const word = this.#random.letters(8);
    const { options, process } = deployment('lambda', ['sh', '-c', `sleep 0.2; echo ${word}; exit 7`], 1, 'SIGKILL');
    const open = { options, process, asynchronous: false, timeout: 0 };
    const answers = this.#core().eru.run(
      oneRequest<MessageInitShape<typeof eru.RunRequestSchema>>({ request: { case: 'open', value: open } }),
      limit(),
    );
    let output = '';
    let code: number | undefined;
    for await (const { response } of answers) {
      if (response.case === 'created' && response.value.error !== '')
        throw new EruError('failed', response.value.error);
      if (response.case === 'output') output += Buffer.from(response.value.data).toString();
      if (response.case !== 'exited') continue;
      if (response.value.error !== '') throw new EruError('failed', response.value.error);
      code = response.value.exitCode;
    }
    if (code === undefined) throw new EruError('failed', 'a lambda ended without an exit code');
    if (code !== 7 || output !== `${word}\n`)
      this.wrong.push(`a lambda ended with ${code} and said ${JSON.stringify(output)} instead of ${word}`);
    this.answered.lambdas += 1;
  }

  #deployment(count: number) {
    // `sleep` as the first process of its namespace does not hear TERM: a part of the removals takes the whole grace time.
    const stopSignal = this.#random.int(4) === 0 ? 'SIGTERM' : 'SIGKILL';
    return deployment('churn', ['sleep', '1000000'], count, stopSignal);
  }

  /** A request with an idempotency key is sent again, to whichever core answers, until its outcome is known. */
  async #untilKnown<T>(request: () => Promise<T>): Promise<T> {
    return retry(request, {
      baseMs: 50,
      maxMs: 500,
      retryable: (error) => unknown.has(EruError.from(error).code),
      onRetry: () => void (this.answered.failed += 1),
    });
  }
}

/** Codes after which nobody knows whether the request has been heard. */
const unknown: ReadonlySet<string> = new Set(['unavailable', 'timeout', 'canceled', 'fenced']);

/** No request may be left without any answer for longer; the slowest call of an engine has 120 s. */
const limit = (): { timeoutMs: number } => ({ timeoutMs: 240_000 });

async function* oneRequest<T>(request: T): AsyncGenerator<T> {
  yield request;
}

/** What a workload of the load is. */
export function deployment(name: string, commands: string[], count: number, stopSignal: string) {
  const limits = { 'cpu-request': 0.05, 'cpu-limit': 0.05, 'memory-request': memory, 'memory-limit': memory };
  return {
    options: {
      name,
      entrypoint: { name: 'sleeper', commands },
      podname: 'default',
      count,
      networks: { host: '' },
      resources: { cpumem: Buffer.from(JSON.stringify(limits)) },
    },
    process: { root: 'host', stopSignal },
  };
}
