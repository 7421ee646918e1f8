import { setTimeout as sleep } from 'node:timers/promises';

import type { Random } from '@eru/kit';

import type { Silence } from './network.ts';
import type { Scattered } from './scattered.ts';

/** The longest fault; longer than a lease (10 s), so that cores are fenced and nodes are given up. */
const longestMs = 15_000;
const betweenMs = 3_000;

/** What went wrong, by kind. */
export type Faults = Record<'killed' | 'frozen' | 'parted', number>;

/**
 * One fault after the other until `signal` says that it is enough: a daemon dies by kill -9 and comes back at once or later, stands
 * still and goes on, or does not hear another one. Each is over before the next; `say` tells of it.
 */
export async function makeTrouble(
  cluster: Scattered,
  random: Random,
  signal: AbortSignal,
  say: (text: string) => void,
): Promise<Faults> {
  const faults: Faults = { killed: 0, frozen: 0, parted: 0 };
  const pick = <T>(list: readonly T[]): T => list[random.int(list.length)] as T;
  // Most are short; one in three may outlast a lease.
  const durationMs = (): number => random.next() * (random.int(3) === 0 ? longestMs : 2000);
  const rest = (ms: number): Promise<void> => sleep(ms, undefined, { signal }).catch(() => {});
  while (!signal.aborted) {
    await rest(random.next() * betweenMs);
    const kind = random.next();
    const ms = Math.round(durationMs());
    if (kind < 0.6) {
      const daemon = pick(cluster.daemons);
      say(`kill -9 of ${daemon}, back after ${ms} ms`);
      await cluster.kill(daemon);
      faults.killed += 1;
      await rest(ms);
      cluster.spawn(daemon);
    } else if (kind < 0.75) {
      const daemon = pick(cluster.daemons.filter((name) => !name.startsWith('agent')));
      say(`${daemon} stands still for ${ms} ms`);
      cluster.freeze(daemon);
      faults.frozen += 1;
      await rest(ms);
      cluster.thaw(daemon);
    } else {
      const core = pick(cluster.cores);
      const other = pick(['etcd', 'etcd', ...cluster.nodes]);
      const silence = pick<Silence>(['drop', 'reject']);
      say(`${core} and ${other} do not hear each other for ${ms} ms (${silence})`);
      await cluster.network.part(core, other, silence);
      faults.parted += 1;
      await rest(ms);
      await cluster.network.mend(core);
    }
  }
  return faults;
}
