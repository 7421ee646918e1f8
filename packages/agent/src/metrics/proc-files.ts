import { readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';

import type { Nic } from './usage.ts';

/** Empty for what is not there (any more): processes and their groups go away at any time. */
export function readIf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** Number after a name at the begin of a line; undefined when there is no such line. */
export function fieldOf(text: string, name: string): number | undefined {
  const match = new RegExp(`^${name}[ =](\\d+)`, 'm').exec(text);
  return match === null ? undefined : Number(match[1]);
}

/** Processor time of the whole machine, in ticks. */
export function hostCpu(proc: string): { user: number; system: number } {
  const [, user = '0', nice = '0', system = '0'] =
    readIf(path.join(proc, 'stat')).split('\n', 1)[0]?.split(/\s+/) ?? [];
  return { user: Number(user) + Number(nice), system: Number(system) };
}

/** The interfaces of a process's network, but loopback; none when it is the machine's own, for they are not the workload's. */
export function readNics(proc: string, pid: number): Record<string, Nic> {
  const of = (process: string): string => {
    try {
      return readlinkSync(path.join(proc, process, 'ns/net'));
    } catch {
      return '';
    }
  };
  const network = of(String(pid));
  if (network === '' || network === of('1') || network === of('self')) return {};
  return parseNetDev(readIf(path.join(proc, String(pid), 'net/dev')));
}

export function parseNetDev(text: string): Record<string, Nic> {
  const nics: Record<string, Nic> = {};
  for (const line of text.split('\n')) {
    const [name, rest = ''] = line.trim().split(/:\s*/, 2);
    const figures = rest.split(/\s+/).map(Number);
    if (name === undefined || name === 'lo' || figures.length < 16) continue;
    const at = (index: number): number => figures[index] ?? 0;
    nics[name] = {
      rxBytes: at(0),
      rxPackets: at(1),
      rxErrors: at(2),
      rxDropped: at(3),
      txBytes: at(8),
      txPackets: at(9),
      txErrors: at(10),
      txDropped: at(11),
    };
  }
  return nics;
}
