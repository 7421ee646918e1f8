import { engine as wire } from '@eru/contract';
import type { MessageInitShape } from '@eru/contract';
import { EruError, Queue, systemClock } from '@eru/kit';

import { waitFor } from '../call-limit.ts';
import type { Session, TerminalSize } from '../engine.ts';
import { parts } from './wire.ts';

type Input = MessageInitShape<typeof wire.SessionInputSchema>;
type Output = MessageInitShape<typeof wire.SessionOutputSchema>;
type Chunk = { stream: 'stdout' | 'stderr'; data: Uint8Array };

/** Messages on their way in one direction before the writer has to wait. */
const inFlight = 16;

/** The client's end of an exec or attach. `call` begins the call with the requests given. */
export async function openSession<Request>(
  open: Request,
  wrap: (input: Input) => Request,
  call: (requests: AsyncIterable<Request>, signal: AbortSignal) => AsyncIterableIterator<wire.SessionOutput>,
  what: string,
  options: { signal: AbortSignal; timeoutMs: number },
): Promise<Session> {
  const over = new AbortController();
  const inputs = new Queue<Input>(inFlight);
  const requests = async function* (): AsyncGenerator<Request> {
    yield open;
    for await (const input of inputs) yield wrap(input);
  };
  const answers = call(requests(), AbortSignal.any([options.signal, over.signal]));
  try {
    const { value } = await waitFor(answers.next(), what, options, systemClock);
    const first = (value as wire.SessionOutput | undefined)?.output;
    if (first?.case !== 'opened') throw new EruError('unavailable', `${what}: the session ended before it began`);
    return new WireSession(inputs, answers, first.value.stdin, () => over.abort());
  } catch (error) {
    inputs.end();
    over.abort();
    throw error;
  }
}

class WireSession implements Session {
  readonly output = new Queue<Chunk>(inFlight);
  readonly exit: Promise<number>;
  readonly #inputs: Queue<Input>;
  readonly #cancel: () => void;
  #stdin: boolean;

  constructor(inputs: Queue<Input>, answers: AsyncIterable<wire.SessionOutput>, stdin: boolean, cancel: () => void) {
    this.#inputs = inputs;
    this.#stdin = stdin;
    this.#cancel = cancel;
    this.exit = this.#receive(answers);
    this.exit.catch(() => {}); // Whoever asks is told; nobody has to ask.
  }

  async write(data: Uint8Array): Promise<void> {
    if (!this.#stdin || this.#inputs.ended) throw closedStdin();
    for (const part of parts(data)) {
      const taken = this.#stdin && (await this.#inputs.put({ input: { case: 'stdin', value: part } }));
      if (!taken) throw closedStdin();
    }
  }

  async closeStdin(): Promise<void> {
    if (!this.#stdin) return;
    this.#stdin = false;
    await this.#inputs.put({ input: { case: 'closeStdin', value: {} } });
  }

  async resize({ rows, cols }: TerminalSize): Promise<void> {
    await this.#inputs.put({ input: { case: 'resize', value: { rows, cols } } });
  }

  close(): Promise<void> {
    this.#cancel();
    return Promise.resolve();
  }

  /** Moves output at the reader's pace; a reader who has left is waited for no more. */
  async #receive(answers: AsyncIterable<wire.SessionOutput>): Promise<number> {
    try {
      for await (const { output } of answers) {
        if (output.case === 'stdout' || output.case === 'stderr')
          await this.output.put({ stream: output.case, data: output.value });
        if (output.case === 'exitCode') {
          this.output.end();
          return output.value;
        }
      }
      throw new EruError('unavailable', 'the session ended without an exit code');
    } catch (error) {
      this.output.end(error);
      throw error;
    } finally {
      this.#inputs.end();
    }
  }
}

function closedStdin(): EruError {
  return new EruError('precondition', 'stdin is closed');
}

/** The server's end: what the session says, at the pace of the client, then its exit code. */
export async function* serveSession(
  session: Session,
  stdin: boolean,
  inputs: AsyncIterable<wire.SessionInput>,
  endClosesStdin: boolean,
  signal: AbortSignal,
): AsyncGenerator<Output> {
  const leave = (): void => void session.close().catch(() => {}); // The client that would be told has gone.
  signal.addEventListener('abort', leave, { once: true });
  if (signal.aborted) leave();
  void feed(session, inputs, endClosesStdin);
  try {
    yield { output: { case: 'opened', value: { stdin } } };
    for await (const { stream, data } of session.output)
      for (const part of parts(data)) yield { output: { case: stream, value: part } };
    yield { output: { case: 'exitCode', value: await session.exit } };
  } finally {
    signal.removeEventListener('abort', leave);
    await session.close();
  }
}

/** Ends with the requests, or at the first input that the process cannot take any more; its exit code will say why. */
async function feed(
  session: Session,
  inputs: AsyncIterable<wire.SessionInput>,
  endClosesStdin: boolean,
): Promise<void> {
  try {
    for await (const { input } of inputs) {
      if (input.case === 'stdin') await session.write(input.value);
      else if (input.case === 'closeStdin') await session.closeStdin();
      else if (input.case === 'resize') await session.resize(input.value);
    }
    if (endClosesStdin) await session.closeStdin();
  } catch (error) {
    if (!['precondition', 'canceled'].includes(EruError.from(error).code)) await session.close().catch(() => {});
  }
}
