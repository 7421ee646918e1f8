import { EruError } from '@eru/kit';
import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { Duplex } from 'node:stream';

/** A program's stdin and stdout as a connection; what it says on stderr is told when it ends before its time. */
export class StdioSocket extends Duplex {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;

  constructor(child: ChildProcessByStdio<Writable, Readable, Readable>, what: string) {
    super({ allowHalfOpen: true });
    this.#child = child;
    let said = '';
    let answered = false;
    child.stderr.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-1000);
    });
    child.stdout.on('data', (chunk: Buffer) => {
      answered = true;
      if (!this.push(chunk)) child.stdout.pause();
    });
    child.stdin.on('error', () => {}); // The end of the program says it.
    child.on('error', (cause) =>
      this.destroy(new EruError('unavailable', `${what}: ${cause.message}; install an ssh client`, { cause })),
    );
    child.on('close', (code) => {
      if (answered) this.push(null);
      else this.destroy(new EruError('unavailable', `${what} ended with ${code}: ${said.trim()}`));
    });
    process.nextTick(() => this.emit('connect'));
  }

  override _read(): void {
    this.#child.stdout.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#child.stdin.write(chunk, done);
  }

  override _final(done: () => void): void {
    this.#child.stdin.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#child.kill();
    done(error);
  }

  // What node:http expects of a socket and a pipe does not have.
  setTimeout(): this {
    return this;
  }
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  ref(): this {
    this.#child.ref();
    return this;
  }
  unref(): this {
    this.#child.unref();
    return this;
  }
}
