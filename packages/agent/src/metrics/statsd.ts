import dgram from 'node:dgram';

import { invalid } from '@eru/kit';

import { targetOf } from '../logs/target-choice.ts';
import type { OriginalValue } from './original-series.ts';

/** Largest datagram, and how long one is filled (reference/agent.md section 14.3). */
const mostBytes = 1440;
const flushMs = 100;

const nicMetrics: Readonly<Record<string, string>> = {
  bytes_send: 'bytes.sent',
  bytes_recv: 'bytes.recv',
  packets_send: 'packets.sent',
  packets_recv: 'packets.recv',
  err_in: 'err.in',
  err_out: 'err.out',
  drop_in: 'drop.in',
  drop_out: 'drop.out',
};

/** Pushes gauges over UDP; each workload to one of the targets, the one that its logs would go to. Nobody waits for it. */
export class Statsd {
  readonly #targets: { host: string; port: number; lines: string[]; bytes: number }[];
  readonly #socket = dgram.createSocket('udp4');
  #timer: NodeJS.Timeout | undefined;

  /** @throws EruError `invalid` for what is not `HOST:PORT` */
  constructor(targets: readonly string[]) {
    this.#targets = checkTransfers(targets).map((place) => ({ ...place, lines: [], bytes: 0 }));
    this.#socket.on('error', () => {}); // nobody listens: the next values are as good
    this.#socket.unref();
  }

  push(of: { id: string; node: string; app: string; entrypoint: string }, values: readonly OriginalValue[]): void {
    const index = targetOf(of.id, this.#targets.length);
    for (const line of statsdLines(of, values)) this.#add(index, line);
    this.#timer ??= setTimeout(() => this.#flushAll(), flushMs).unref();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#socket.close();
  }

  #add(index: number, line: string): void {
    const target = this.#targets[index];
    if (target === undefined) return;
    if (target.bytes + line.length + 1 > mostBytes) this.#flush(target);
    target.lines.push(line);
    target.bytes += line.length + 1;
  }

  #flushAll(): void {
    this.#timer = undefined;
    for (const target of this.#targets) this.#flush(target);
  }

  #flush(target: { host: string; port: number; lines: string[]; bytes: number }): void {
    if (target.lines.length === 0) return;
    this.#socket.send(target.lines.join('\n'), target.port, target.host, () => {});
    target.lines = [];
    target.bytes = 0;
  }
}

/** @throws EruError `invalid` for what is not `HOST:PORT` */
export function checkTransfers(targets: readonly string[]): { host: string; port: number }[] {
  return targets.map((target) => {
    const [, host, port] = /^([^:\s]+):(\d{1,5})$/.exec(target) ?? [];
    if (host === undefined || Number(port) > 65_535) throw invalid('metrics.transfers', target, 'write HOST:PORT');
    return { host, port: Number(port) };
  });
}

/** `ERU.<app>.<entrypoint>.<node>.<end of the id>.<metric>:<value>|g`; a negative gauge is set to 0 first, or it would be a decrement. */
export function statsdLines(
  { id, node, app, entrypoint }: { id: string; node: string; app: string; entrypoint: string },
  values: readonly OriginalValue[],
): string[] {
  const prefix = ['ERU', app, entrypoint, node.replaceAll('.', '-'), id.slice(-7)].join('.');
  return values.flatMap(({ name, label, value }) => {
    const metric =
      label === undefined
        ? name
        : label.name === 'nic'
          ? `${label.value}.${nicMetrics[name] ?? name}`
          : `${label.value}.${name}`;
    const gauge = `${prefix}.${metric}`;
    return [...(value < 0 ? [`${gauge}:0|g`] : []), `${gauge}:${plain(value)}|g`];
  });
}

/** Without an exponent. */
function plain(value: number): string {
  const text = String(value);
  return text.includes('e') ? value.toFixed(12).replace(/\.?0+$/, '') : text;
}
