import { EruError, run, runOk } from '@eru/kit';

/** What `portmap` and `firewall` make once for everybody who uses them, and never take away. */
const shared = [
  { table: 'nat', chains: ['CNI-HOSTPORT-DNAT', 'CNI-HOSTPORT-SETMARK', 'CNI-HOSTPORT-MASQ'] },
  { table: 'filter', chains: ['CNI-FORWARD', 'CNI-ADMIN'] },
] as const;

const kernels = new Set(['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING']);
const marks = new Set(['MARK', 'MASQUERADE']);

/**
 * Takes those chains away where nobody has a rule in them: then they change nothing, and whoever needs them makes them again.
 * Nothing of ours may be attached meanwhile.
 */
export async function removeIdleChains(program: 'iptables' | 'ip6tables'): Promise<void> {
  for (const { table, chains } of shared) {
    const { code, stdout } = await run(program, ['-w', '-t', table, '-S']);
    const lines = code === 0 ? removalOf(stdout.split('\n'), chains) : [];
    if (lines.length === 0) continue;
    // All at once, or nothing, if somebody has just put a rule there.
    const input = `*${table}\n${lines.join('\n')}\nCOMMIT\n`;
    await runOk(`${program}-restore`, ['-w', '--noflush'], { input }).catch((error: unknown) => {
      throw new EruError('failed', `chains of CNI plugins stay: ${EruError.from(error).message}`, { cause: error });
    });
  }
}

/** What takes these chains out of a table, given its rules as `iptables -S` shows them; empty when somebody uses one. */
export function removalOf(rules: readonly string[], chains: readonly string[]): string[] {
  const there = chains.filter((chain) => rules.includes(`-N ${chain}`));
  const parsed = rules.flatMap((rule) => {
    const [, chain = ''] = /^-A (\S+) /.exec(rule) ?? [];
    const [, target = ''] = / -j (\S+)/.exec(rule) ?? [];
    return there.includes(chain) || there.includes(target) ? [{ rule, chain, target }] : [];
  });
  const isPlugins = ({ chain, target }: { chain: string; target: string }): boolean =>
    there.includes(target)
      ? there.includes(chain) || kernels.has(chain)
      : chain !== 'CNI-ADMIN' && chain !== 'CNI-HOSTPORT-DNAT' && marks.has(target);
  if (!parsed.every(isPlugins)) return [];
  return [...parsed.map(({ rule }) => `-D${rule.slice(2)}`), ...there.map((chain) => `-X ${chain}`)];
}
