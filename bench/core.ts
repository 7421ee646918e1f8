import { fork, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

import { openEtcdStore } from '@eru/store';
import { EtcdProcess } from '@eru/store/etcd-process';

import type { CoreJob, Phase, PhaseFigures } from './core-process.ts';
import { nodeNames, writeNodes } from './simulated-cluster.ts';
import type { Bench, BenchOptions, Row } from './table.ts';

const nodes = 1000;
/** Over all cores, so that what more of them bring can be seen. */
const operations = 960;
const clients = 48;
const phases: readonly Phase[] = ['create', 'realloc', 'replace', 'remove'];

/** What one operation on one instance costs on a real etcd, with one, two and three cores, each a process of its own. */
export const coreBench: Bench = {
  name: 'core',
  async run(options) {
    if (spawnSync('etcd', ['--version']).status !== 0) {
      process.stderr.write('no etcd here: apt-get install -y etcd-server\n');
      return [];
    }
    const rows: Row[] = [];
    for (const cores of [1, 2, 3]) rows.push(...(await measure(cores, options)));
    return rows;
  },
};

async function measure(cores: number, { quick }: BenchOptions): Promise<Row[]> {
  const etcd = await EtcdProcess.start();
  const children: ChildProcess[] = [];
  try {
    const store = await openEtcdStore({ endpoints: [etcd.endpoint] });
    await writeNodes(store, nodeNames(nodes));
    await store.close();
    const all = quick ? operations / 10 : operations;
    for (let index = 0; index < cores; index++) {
      const share = { operations: all / cores, clients: clients / cores };
      children.push(begin({ index, endpoint: etcd.endpoint, nodes, ...share }));
    }
    await Promise.all(children.map((child) => answer<'ready'>(child)));
    const rows: Row[] = [];
    for (const phase of phases) {
      const figures = await Promise.all(
        children.map((child) => {
          child.send(phase);
          return answer<PhaseFigures>(child);
        }),
      );
      rows.push(...rowsOf(phase, cores, all, figures));
    }
    for (const child of children) {
      child.send('end');
      await once(child, 'exit');
    }
    return rows;
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await etcd.remove();
  }
}

function begin(job: CoreJob): ChildProcess {
  return fork(path.join(import.meta.dirname, 'core-process.js'), [JSON.stringify(job)]);
}

/** @throws when it ends instead */
async function answer<T>(child: ChildProcess): Promise<T> {
  const over = new AbortController();
  try {
    const ended = once(child, 'exit', over).then(([code]) => {
      throw new Error(`a core ended with ${String(code)}`);
    });
    ended.catch(() => {}); // when it has answered before
    const [message] = await Promise.race([once(child, 'message', over), ended]);
    return message as T;
  } finally {
    over.abort();
  }
}

function rowsOf(phase: Phase, cores: number, done: number, figures: readonly PhaseFigures[]): Row[] {
  const sum = (pick: (one: PhaseFigures) => number): number => figures.reduce((total, one) => total + pick(one), 0);
  const most = (pick: (one: PhaseFigures) => number): number => Math.max(...figures.map(pick));
  const what = `${phase}, ${cores} ${cores === 1 ? 'core' : 'cores'}`;
  const row = (aspect: string, value: number, unit = ''): Row => ({ bench: 'core', what, aspect, value, unit });
  return [
    row('', done / most(({ seconds }) => seconds), '/s'),
    row('transactions', sum(({ txn }) => txn) / done),
    row('writes', sum(({ operations }) => operations) / done),
    row('reads', sum(({ reads }) => reads) / done),
    row('lost', (100 * sum(({ lost }) => lost)) / sum(({ txn }) => txn), '%'),
    row(
      'loop max',
      most(({ loopMaxMs }) => loopMaxMs),
      'ms',
    ),
    row(
      'p99',
      most(({ loop99Ms }) => loop99Ms),
      'ms',
    ),
  ];
}
