import type { Served } from './service.ts';

/** In Prometheus' text form. */
export async function metricsOf(netd: Served): Promise<string> {
  const [pools, sandboxes, findings] = await Promise.all([netd.pools(), netd.sandboxes(), netd.diagnose()]);
  const lines: string[] = [];
  const family = (
    name: string,
    type: 'gauge' | 'counter',
    help: string,
    samples: readonly [string, number][],
  ): void => {
    lines.push(
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${type}`,
      ...samples.map(([labels, value]) => `${name}${labels} ${value}`),
    );
  };
  const perPool = (read: (pool: (typeof pools)[number]) => number): [string, number][] =>
    pools.map((pool) => [`{pool="${pool.definition.name}"}`, read(pool)]);
  family(
    'eru_network_pool_capacity',
    'gauge',
    'Addresses that the pool can give out.',
    perPool(({ capacity }) => capacity),
  );
  family(
    'eru_network_pool_reserved',
    'gauge',
    'Addresses that belong to a workload that is not attached.',
    perPool(({ reserved }) => reserved),
  );
  family(
    'eru_network_pool_bound',
    'gauge',
    'Addresses on live interfaces.',
    perPool(({ bound }) => bound),
  );
  family(
    'eru_network_pool_quarantined',
    'gauge',
    'Addresses that rest after their release.',
    perPool(({ quarantined }) => quarantined),
  );
  family(
    'eru_network_pool_exhausted_total',
    'counter',
    'Requests that found the pool full.',
    perPool(({ exhausted }) => exhausted),
  );
  family('eru_network_sandboxes', 'gauge', 'Namespaces of workloads on this node.', [['', sandboxes.length]]);
  family('eru_network_faults', 'gauge', 'What declared, attached and real state disagree about.', [
    ['', findings.filter(({ level }) => level === 'fault').length],
  ]);
  family('eru_network_repairs_total', 'counter', 'What the reconciler has put right.', [['', netd.repairs]]);
  return `${lines.join('\n')}\n`;
}
