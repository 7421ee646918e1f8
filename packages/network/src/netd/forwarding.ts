import { createHash } from 'node:crypto';

import { EruError, run, runOk } from '@eru/kit';

import { removeIdleChains } from './plugin-chains.ts';

const families = [
  { program: 'iptables', six: false },
  { program: 'ip6tables', six: true },
] as const;

/**
 * Rules of this host that let others begin to speak to its workloads: those of other hosts, and whoever asks for a published
 * port. The `firewall` plugin lets through what a workload begins and the answers to it, which is not enough beside a dockerd,
 * whose FORWARD policy is DROP. One rule for each subnet that somebody here is on; a comment tells ours from all others.
 * Whoever is to be attached asks for it first (`open`), and so waits for its turn.
 */
export class Forwarding {
  readonly #comment: string;
  /** Subnets whose rule was seen, or set, since this daemon began. */
  readonly #open = new Set<string>();
  /** Plugins may have made chains of theirs. */
  #chains = true;
  #turn: Promise<unknown> = Promise.resolve();

  /** Of the daemon with its state in this folder: several may share a host. */
  constructor(folder: string) {
    this.#comment = `eru-${createHash('sha256').update(folder).digest('hex').slice(0, 8)}`;
  }

  /** At least these. Costs nothing when they are there. */
  open(cidrs: readonly string[]): Promise<void> {
    return this.#inTurn(async () => {
      this.#chains = true;
      if (cidrs.some((cidr) => !this.#open.has(cidr))) await this.#change(cidrs, false);
    });
  }

  /**
   * These and no others; asked when it is their turn, so that what was opened meanwhile is among them. Where nobody is attached
   * to anything (undefined), what plugins have made for all of them goes too.
   */
  keep(used: () => readonly string[] | undefined): Promise<void> {
    return this.#inTurn(async () => {
      const cidrs = used();
      await this.#change(cidrs ?? [], true);
      if (cidrs !== undefined || !this.#chains) return;
      for (const { program } of families) await removeIdleChains(program);
      this.#chains = false;
    });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {}); // Its caller hears of it.
    return done;
  }

  async #change(cidrs: readonly string[], only: boolean): Promise<void> {
    for (const { program, six } of families)
      await this.#set(
        program,
        cidrs.filter((cidr) => cidr.includes(':') === six),
        only,
      );
  }

  async #set(program: string, cidrs: readonly string[], only: boolean): Promise<void> {
    if (cidrs.length === 0 && !only) return;
    const { code, stdout, stderr } = await run(program, ['-w', '-S', 'FORWARD']);
    // A kernel without this family has no rule of it.
    if (code !== 0 && cidrs.length === 0) return;
    if (code !== 0) throw new EruError('failed', `${program}: ${stderr.trim()}`);
    const there = stdout.split('\n').flatMap((line) => {
      const [, cidr, comment] = /^-A FORWARD -d (\S+) .*--comment "?([\w-]+)"? /.exec(line) ?? [];
      return cidr !== undefined && comment === this.#comment ? [cidr] : [];
    });
    for (const cidr of new Set(cidrs))
      if (!there.includes(cidr)) await runOk(program, ['-w', '-I', ...this.#rule(cidr)]);
    const gone = only ? there.filter((cidr) => !cidrs.includes(cidr)) : [];
    for (const cidr of gone) {
      this.#open.delete(cidr);
      await runOk(program, ['-w', '-D', ...this.#rule(cidr)]);
    }
    for (const cidr of cidrs) this.#open.add(cidr);
  }

  #rule(cidr: string): string[] {
    return ['FORWARD', '-d', cidr, '-m', 'comment', '--comment', this.#comment, '-j', 'ACCEPT'];
  }
}
