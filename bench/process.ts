import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { bareSpec } from '@eru/engines';
import { run, runOk, silentLogger, systemClock, systemRandom } from '@eru/kit';
import { createProcessEngine } from '@eru/runtime';

import { quantile, type Bench } from './table.ts';

const rounds = 15;

/** From "create" to "it runs" through the process engine, against `runc run` to the end of /bin/true on a bare bundle. */
export const processBench: Bench = {
  name: 'process',
  async run() {
    if ((await run('runc', ['--version']).catch(() => undefined)) === undefined) {
      process.stderr.write('no runc here: apt-get install -y runc conmon\n');
      return [];
    }
    const folder = await mkdtemp(path.join(tmpdir(), 'eru-bench-'));
    try {
      const bare = await bareRunc(path.join(folder, 'bare'));
      const ours = await throughEngine(path.join(folder, 'engine'));
      const [bareMs, oursMs] = [quantile(bare, 0.5), quantile(ours, 0.5)];
      return [
        { bench: 'process', what: 'bare runc run /bin/true', value: bareMs, unit: 'ms' },
        { bench: 'process', what: 'create and start through the engine', value: oursMs, unit: 'ms' },
        { bench: 'process', what: 'engine / bare', value: oursMs / bareMs, unit: '' },
      ];
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function bareRunc(bundle: string): Promise<number[]> {
  await mkdir(path.join(bundle, 'rootfs/bin'), { recursive: true });
  await runOk('cp', ['/bin/busybox', path.join(bundle, 'rootfs/bin/true')]);
  await runOk('runc', ['spec', '--bundle', bundle]);
  const config = JSON.parse((await runOk('cat', [path.join(bundle, 'config.json')])).stdout) as {
    process: { args: string[]; terminal: boolean };
  };
  config.process = { ...config.process, args: ['/bin/true'], terminal: false };
  await writeFile(path.join(bundle, 'config.json'), JSON.stringify(config));
  const samples: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const begun = performance.now();
    await runOk('runc', ['run', '--bundle', bundle, `eru-bench-${process.pid}-${round}`]);
    samples.push(performance.now() - begun);
  }
  return samples;
}

async function throughEngine(folder: string): Promise<number[]> {
  const engine = await createProcessEngine({
    folder,
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    unenforced: 'allow',
  });
  const samples: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const begun = performance.now();
    const { id } = await engine.create(bareSpec(`bench_run_${systemRandom.letters(6)}`, ['sleep', '60']));
    await engine.start(id);
    samples.push(performance.now() - begun);
    await engine.remove(id, { force: true });
  }
  await engine.close();
  return samples;
}
