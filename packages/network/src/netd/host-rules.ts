import { createHash } from 'node:crypto';

import { EruError, run, runOk } from '@eru/kit';

import { removeIdleChains } from './plugin-chains.ts';

/** What somebody here is on. */
export interface Subnet {
  readonly cidr: string;
  /** What leaves it has the address of the host. */
  readonly masquerade: boolean;
}

interface Rule {
  table: 'filter' | 'nat';
  /** As `iptables -S` shows it. */
  text: string;
}

const families = [
  { program: 'iptables', six: false },
  { program: 'ip6tables', six: true },
] as const;

/** The chains that we put rules into. */
const chains = { filter: 'FORWARD', nat: 'POSTROUTING' } as const;

/**
 * Rules of this host for each subnet that somebody here is on: both ways are open beside a dockerd, whose FORWARD policy is DROP,
 * and what leaves it is masqueraded. By subnet, so that an attachment costs no rule of its own, as it would with CNI's `firewall`
 * and `ipMasq` (half of its time), and leaves none. A comment tells ours from all others. Whoever is to be attached asks
 * for them first (`open`), and so waits for its turn.
 */
export class HostRules {
  readonly #comment: string;
  /** Subnets whose rules were seen, or set, since this daemon began. */
  #open = new Set<string>();
  /** Plugins may have made chains of theirs. */
  #chains = true;
  #turn: Promise<unknown> = Promise.resolve();

  /** Of the daemon with its state in this folder: several may share a host. */
  constructor(folder: string) {
    this.#comment = `eru-${createHash('sha256').update(folder).digest('hex').slice(0, 8)}`;
  }

  /** At least these. Costs nothing when they are there. */
  open(subnets: readonly Subnet[]): Promise<void> {
    return this.#inTurn(async () => {
      this.#chains = true;
      if (subnets.every((one) => this.#open.has(nameOf(one)))) return;
      await this.#set(subnets, false);
      for (const one of subnets) this.#open.add(nameOf(one));
    });
  }

  /**
   * These and no others; asked when it is their turn, so that what was opened meanwhile is among them. Where nobody is attached
   * to anything (undefined), what plugins have made for all of them goes too.
   */
  keep(used: () => readonly Subnet[] | undefined): Promise<void> {
    return this.#inTurn(async () => {
      const subnets = used();
      await this.#set(subnets ?? [], true);
      this.#open = new Set((subnets ?? []).map(nameOf));
      if (subnets !== undefined || !this.#chains) return;
      for (const { program } of families) await removeIdleChains(program);
      this.#chains = false;
    });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {}); // Its caller hears of it.
    return done;
  }

  async #set(subnets: readonly Subnet[], only: boolean): Promise<void> {
    for (const { program, six } of families) {
      const own = subnets.filter(({ cidr }) => cidr.includes(':') === six);
      if (own.length === 0 && !only) continue;
      const wanted = new Map(own.flatMap((one) => this.#rulesOf(one)).map((rule) => [rule.text, rule]));
      const there = new Map((await this.#ours(program, wanted.size > 0)).map((rule) => [rule.text, rule]));
      const missing = [...wanted.values()].filter(({ text }) => !there.has(text));
      const gone = only ? [...there.values()].filter(({ text }) => !wanted.has(text)) : [];
      const lines = (['filter', 'nat'] as const).flatMap((table) => {
        const changes = [
          ...missing.filter((rule) => rule.table === table).map(({ text }) => text.replace('-A', '-I')),
          ...gone.filter((rule) => rule.table === table).map(({ text }) => text.replace('-A', '-D')),
        ];
        return changes.length === 0 ? [] : [`*${table}`, ...changes, 'COMMIT'];
      });
      if (lines.length > 0) await runOk(`${program}-restore`, ['-w', '--noflush'], { input: `${lines.join('\n')}\n` });
    }
  }

  /** What is there of ours. A kernel without this family has nothing of it, and is told of only where something is `wanted`. */
  async #ours(program: string, wanted: boolean): Promise<Rule[]> {
    const found: Rule[] = [];
    for (const table of ['filter', 'nat'] as const) {
      const { code, stdout, stderr } = await run(program, ['-w', '-t', table, '-S', chains[table]]);
      if (code !== 0 && wanted) throw new EruError('failed', `${program}: ${stderr.trim()}`);
      for (const line of code === 0 ? stdout.split('\n') : []) {
        const text = line.replaceAll('"', '').trim();
        if (text.startsWith('-A') && text.includes(` --comment ${this.#comment} `)) found.push({ table, text });
      }
    }
    return found;
  }

  #rulesOf({ cidr, masquerade }: Subnet): Rule[] {
    const rule = (table: Rule['table'], match: string, target: string): Rule => ({
      table,
      text: `-A ${chains[table]} ${match} -m comment --comment ${this.#comment} -j ${target}`,
    });
    return [
      rule('filter', `-d ${cidr}`, 'ACCEPT'),
      rule('filter', `-s ${cidr}`, 'ACCEPT'),
      ...(masquerade ? [rule('nat', `-s ${cidr} ! -d ${cidr}`, 'MASQUERADE')] : []),
    ];
  }
}

function nameOf({ cidr, masquerade }: Subnet): string {
  return `${cidr} ${masquerade}`;
}
