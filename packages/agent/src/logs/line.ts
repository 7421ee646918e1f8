import { isUtf8 } from 'node:buffer';

import type { LogEntry, WorkloadState } from '@eru/engines';
import { firstAddress, labelNames } from '@eru/engines';

/** What every line of one workload has in common; the order of keys is the original's (reference/agent.md section 12.3). */
export interface LineHead {
  app: string;
  entrypoint: string;
  stdout: string;
  stderr: string;
  /** `extra`, as JSON. */
  extra: string;
}

/** `app_entrypoint_ident`, in which only the app may have underscores; undefined for any other name. */
export function partsOf(name: string): { app: string; entrypoint: string; ident: string } | undefined {
  const [, app, entrypoint, ident] = /^\/?(.+)_([^_]+)_([^_]+)$/.exec(name) ?? [];
  return app === undefined || entrypoint === undefined || ident === undefined ? undefined : { app, entrypoint, ident };
}

/** Undefined for a workload whose name does not say its app. */
export function headOf(
  state: Pick<WorkloadState, 'id' | 'name' | 'labels' | 'networks'>,
  pod: string,
): LineHead | undefined {
  const parts = partsOf(state.name);
  if (parts === undefined) return undefined;
  const { app, entrypoint, ident } = parts;
  const of = (type: string): string =>
    JSON.stringify({ id: state.id, name: app, type, entrypoint, ident }).replace(/\}$/, ',"data":');
  const networks = Object.entries(state.networks).map(([name, address]) => [`networks_${name}`, firstAddress(address)]);
  const extra = {
    podname: pod,
    nodename: state.labels[labelNames.node] ?? '',
    coreid: state.labels[labelNames.cluster] ?? '',
    ...Object.fromEntries(networks),
  };
  return { app, entrypoint, stdout: of('stdout'), stderr: of('stderr'), extra: JSON.stringify(extra) };
}

/** The documented JSON line, with its newline. `time` and `seq` are ours: the instant with its zone, and the line's number, if it has one. */
export function lineOf(head: LineHead, { stream, atMs, data }: LogEntry, seq?: number): string {
  const text = JSON.stringify(textOf(data));
  const time = new Date(atMs).toISOString();
  return `${head[stream]}${text},"datetime":"${localTime(atMs)}","extra":${head.extra},"time":"${time}"${seq === undefined ? '' : `,"seq":${seq}`}}\n`;
}

/** A line as text, without its end. What is not UTF-8 is written out: `\x` and two digits for each bad byte and control character. */
export function textOf(data: Uint8Array): string {
  let end = data.length;
  if (data[end - 1] === 10) end -= 1;
  if (data[end - 1] === 13) end -= 1;
  const line = Buffer.from(data.buffer, data.byteOffset, end);
  if (!isUtf8(line)) return escaped(line);
  const text = line.toString('utf8');
  return text.includes('\uFFFD') ? text.replaceAll('\uFFFD', String.raw`\xff\xfd`) : text;
}

function escaped(line: Buffer): string {
  let text = '';
  for (let at = 0; at < line.length;) {
    const length = sequenceLength(line, at);
    if (length === 0) {
      text += hex(line[at] ?? 0);
      at += 1;
      continue;
    }
    const character = line.toString('utf8', at, at + length);
    const code = character.codePointAt(0) ?? 0;
    const control = code < 32 || (code >= 0x7f && code < 0xa0);
    text += control && code !== 10 && code !== 13 ? hex(code) : character;
    at += length;
  }
  return text;
}

function hex(value: number): string {
  return `\\x${value.toString(16).padStart(2, '0')}`;
}

/** Bytes of the UTF-8 sequence that begins here; 0 when none does. */
function sequenceLength(line: Buffer, at: number): number {
  const first = line[at] ?? 0;
  const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  return length > 0 && at + length <= line.length && isUtf8(line.subarray(at, at + length)) ? length : 0;
}

let second = { atS: Number.NaN, text: '' };

/** This machine's time without a zone, as the original writes it: a fraction only when there is one, without trailing zeros. */
export function localTime(atMs: number): string {
  const atS = Math.floor(atMs / 1000);
  if (atS !== second.atS) second = { atS, text: secondsOf(new Date(atMs)) };
  const fraction = String(Math.floor(atMs) - atS * 1000)
    .padStart(3, '0')
    .replace(/0+$/, '');
  return fraction === '' ? second.text : `${second.text}.${fraction}`;
}

function secondsOf(time: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}
