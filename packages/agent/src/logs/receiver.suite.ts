import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo } from 'node:net';

import { bareSpec, type WorkloadSpec } from '@eru/engines';

import { freePort } from '../../../store/src/free-ports.ts';

/** What a receiver finds in a line. */
export interface Received {
  id: string;
  name: string;
  type: string;
  data: string;
  extra: Record<string, string>;
  seq: number;
}

/** Takes lines over TCP, as a log collector does. */
export class Receiver {
  readonly lines: Received[] = [];
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  #waiting: { count: number; resolve: () => void }[] = [];

  /** At a port of its own, or at that of one that has stopped. */
  static async start(port?: number): Promise<Receiver> {
    const receiver = new Receiver();
    receiver.#server.listen(port ?? (await freePort()), '127.0.0.1');
    await once(receiver.#server, 'listening');
    return receiver;
  }

  private constructor() {
    this.#server = net.createServer((socket) => this.#take(socket));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `tcp://127.0.0.1:${this.port}`;
  }

  /** Resolves when so many lines have come. */
  until(count: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.lines.length >= count) return resolve();
      this.#waiting.push({ count, resolve });
    });
  }

  /** Reads nothing more until it is resumed. */
  pause(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  resume(): void {
    for (const socket of this.#sockets) socket.resume();
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #take(socket: net.Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
    let rest = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop() ?? '';
      for (const part of parts) this.lines.push(JSON.parse(part) as Received);
      const due = this.#waiting.filter(({ count }) => this.lines.length >= count);
      this.#waiting = this.#waiting.filter((one) => !due.includes(one));
      for (const { resolve } of due) resolve();
    });
  }
}

/** A workload of node `n1` in cluster `c1` that says `ready` and runs on. */
export function logSpec(name: string, command: readonly string[] = ['serve']): WorkloadSpec {
  const labels = { ERU: '1', 'eru.nodename': 'n1', 'eru.coreid': 'c1', 'eru.operation': name };
  return bareSpec(name, command, { labels });
}
