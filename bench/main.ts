import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';

import { agentBench } from './agent.ts';
import { coreBench } from './core.ts';
import { deployBench } from './deploy.ts';
import { dockerBench } from './docker.ts';
import { networkBench } from './network.ts';
import { plannerBench } from './planner.ts';
import { processBench } from './process.ts';
import { qualityBench } from './quality.ts';
import { startupBench } from './startup.ts';
import { statusBench } from './status.ts';
import { print, type Row } from './table.ts';

const benches = [
  plannerBench,
  qualityBench,
  startupBench,
  processBench,
  dockerBench,
  networkBench,
  deployBench,
  coreBench,
  agentBench,
  statusBench,
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'string' }, quick: { type: 'boolean', default: false } },
});
const unknown = positionals.filter((name) => !benches.some((bench) => bench.name === name));
if (unknown.length > 0) {
  process.stderr.write(`no bench ${unknown.join(', ')}; there are ${benches.map(({ name }) => name).join(', ')}\n`);
  process.exit(2);
}
const rows: Row[] = [];
for (const bench of benches) {
  if (positionals.length > 0 && !positionals.includes(bench.name)) continue;
  const measured = bench.run({ quick: values.quick });
  for (const batch of measured instanceof Promise ? [await measured] : measured) {
    print(batch);
    rows.push(...batch);
  }
}
if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(rows, null, 2)}\n`);
