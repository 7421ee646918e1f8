import net from 'node:net';

import { keepConnected } from './keep-connected.ts';
import type { Sent, Target, TargetContext, TargetState } from './target.ts';
import { allSent } from './target.ts';

const connectMs = 5_000;
const keepAliveMs = 30_000;

/** Newline-delimited JSON over one connection. */
export class TcpTarget implements Target {
  readonly url: string;
  state: TargetState = 'new';
  readonly #place: { host: string; port: number };
  readonly #context: TargetContext;
  #socket: net.Socket | undefined;

  constructor(url: string, place: { host: string; port: number }, context: TargetContext) {
    this.url = url;
    this.#place = place;
    this.#context = context;
  }

  run(signal: AbortSignal, onChange: () => void): Promise<void> {
    let opened: net.Socket | undefined;
    return keepConnected(
      this.#context,
      signal,
      async () => {
        opened = await this.#connect(signal);
        const socket = opened;
        const end = (): void => void socket.destroy();
        signal.addEventListener('abort', end, { once: true });
        return {
          ended: new Promise((resolve) => {
            socket.once('close', () => {
              signal.removeEventListener('abort', end);
              resolve();
            });
            if (socket.destroyed) resolve();
          }),
        };
      },
      (is) => {
        this.#socket = is ? opened : undefined;
        this.state = is ? 'up' : 'down';
        onChange();
      },
    );
  }

  send(lines: readonly Buffer[]): Promise<Sent> {
    const socket = this.#socket;
    const lost = { inDoubt: lines.length, refused: 0 };
    if (socket === undefined || socket.destroyed) return Promise.resolve(lost);
    return new Promise((resolve) => {
      const broken = (): void => resolve(lost);
      socket.once('close', broken);
      socket.write(Buffer.concat(lines), (error) => {
        socket.removeListener('close', broken);
        resolve(error ? lost : allSent);
      });
    });
  }

  reset(): void {
    this.#socket?.destroy();
  }

  #connect(signal: AbortSignal): Promise<net.Socket> {
    return new Promise((resolve, reject) => {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(connectMs)]);
      const socket = net.connect({ ...this.#place, keepAlive: true, keepAliveInitialDelay: keepAliveMs });
      const give = (): void => void socket.destroy(limit.reason as Error);
      limit.addEventListener('abort', give, { once: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        limit.removeEventListener('abort', give);
        socket.removeListener('error', reject);
        socket.on('error', () => {}); // its 'close' follows
        socket.resume(); // a receiver has nothing to say; its end must be heard
        resolve(socket);
      });
    });
  }
}
