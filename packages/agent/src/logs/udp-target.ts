import dgram from 'node:dgram';
import { lookup } from 'node:dns/promises';

import { keepConnected } from './keep-connected.ts';
import type { Sent, Target, TargetContext, TargetState } from './target.ts';

/** One datagram per line. Nobody acknowledges; what the network refuses at once is counted. */
export class UdpTarget implements Target {
  readonly url: string;
  state: TargetState = 'new';
  readonly #place: { host: string; port: number };
  readonly #context: TargetContext;
  #socket: dgram.Socket | undefined;

  constructor(url: string, place: { host: string; port: number }, context: TargetContext) {
    this.url = url;
    this.#place = place;
    this.#context = context;
  }

  run(signal: AbortSignal, onChange: () => void): Promise<void> {
    let opened: dgram.Socket | undefined;
    return keepConnected(
      this.#context,
      signal,
      async () => {
        const { address, family } = await lookup(this.#place.host);
        const socket = dgram.createSocket(family === 6 ? 'udp6' : 'udp4');
        opened = socket;
        socket.on('error', () => {}); // A refusal by the other side; the next line is tried anyway.
        socket.connect(this.#place.port, address);
        const ended = new Promise<void>((resolve) => socket.once('close', resolve));
        signal.addEventListener('abort', () => socket.close(), { once: true });
        await new Promise((resolve) => socket.once('connect', resolve));
        return { ended };
      },
      (is) => {
        this.#socket = is ? opened : undefined;
        this.state = is ? 'up' : 'down';
        onChange();
      },
    );
  }

  async send(lines: readonly Buffer[]): Promise<Sent> {
    const outcomes = await Promise.all(lines.map((line) => this.#one(line)));
    return { inDoubt: 0, refused: outcomes.filter((sent) => !sent).length };
  }

  reset(): void {
    // There is no connection that could hang.
  }

  #one(line: Buffer): Promise<boolean> {
    const socket = this.#socket;
    if (socket === undefined) return Promise.resolve(false);
    return new Promise((resolve) => socket.send(line, (error) => resolve(error === null)));
  }
}
