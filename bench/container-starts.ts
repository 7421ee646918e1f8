import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { run, runOk } from '@eru/kit';
import { declaredFolder, runtimeFolder, runtimeScript } from '@eru/network';

import { quantile, type Row } from './table.ts';

/** On a host of its own: its namespaces and rules fall with the process. */
const host = 'mount -t tmpfs tmpfs /run && ip link set lo up && exec "$0" --input-type=module -e "$@"';

const program = `
  import { mkdir, writeFile } from 'node:fs/promises';
  const [network, kit, folder, rounds, crowd] = process.argv.slice(1);
  const { openNetd, serveContainers } = await import(network);
  const { runOk, silentLogger } = await import(kit);
  const netd = await openNetd({ folder: folder + '/netd', node: 'bench' });
  const serving = await serveContainers({ netd, socket: folder + '/netd.sock', logger: silentLogger });
  await netd.putPool({ name: 'p', cidr: '10.8.0.0/16', quarantineMs: 0 });
  await netd.putNetwork({ name: 'net', driver: 'bridge', pools: ['p'] });
  const state = ['--root', folder + '/runc'];
  const bundle = async (id, annotations) => {
    const at = folder + '/bundles/' + id;
    await mkdir(at, { recursive: true });
    await writeFile(at + '/config.json', JSON.stringify({
      ociVersion: '1.0.2',
      process: { args: ['/bin/busybox', 'sleep', '600'], cwd: '/', env: [], user: { uid: 0, gid: 0 } },
      root: { path: folder + '/rootfs', readonly: true },
      // Of its own: many that are started at once would make the same devices in one folder.
      mounts: [{ destination: '/proc', type: 'proc', source: 'proc' }, { destination: '/dev', type: 'tmpfs', source: 'tmpfs' }],
      annotations,
      linux: { cgroupsPath: '/eru-bench-' + process.pid + '/' + id, namespaces: ['pid', 'network', 'ipc', 'uts', 'mount'].map((type) => ({ type })) },
    }));
    return at;
  };
  const start = async (runtime, id, at) => {
    // As a shim does: what the container inherits is not a pipe of ours.
    const script = '"$@" >/dev/null 2>"$0" </dev/null || { cat "$0" >&2; exit 1; }';
    await runOk('sh', ['-c', script, at + '/said', runtime, ...state, 'create', '--bundle', at, id]);
    await runOk(runtime, [...state, 'start', id]);
  };
  const end = (runtime, id) => runOk(runtime, [...state, 'delete', '--force', id]);
  const samples = {};
  const kinds = {
    'plain runc': [process.argv[6], {}],
    'the wrapper, passing through': [folder + '/eru-oci', {}],
    'the wrapper, one fixed address': [folder + '/eru-oci', { 'fixed-ip': '1' }],
  };
  for (let round = 0; round < Number(rounds); round++)
    for (const [what, [runtime, annotations]] of Object.entries(kinds)) {
      const id = 'c' + round + '-' + Object.keys(kinds).indexOf(what);
      const at = await bundle(id, annotations);
      const begun = performance.now();
      await start(runtime, id, at);
      (samples['create and start, ' + what] ??= []).push(performance.now() - begun);
      const ending = performance.now();
      await end(runtime, id);
      (samples['delete, ' + what] ??= []).push(performance.now() - ending);
      const asking = performance.now();
      await runOk(runtime, [...state, '--version']);
      (samples['any other call, ' + what] ??= []).push(performance.now() - asking);
    }
  for (const [what, [runtime, annotations]] of Object.entries(kinds)) {
    const ids = Array.from({ length: Number(crowd) }, (_, index) => 'many' + index + '-' + Object.keys(kinds).indexOf(what));
    const bundles = await Promise.all(ids.map((id) => bundle(id, annotations)));
    const begun = performance.now();
    await Promise.all(ids.map((id, index) => start(runtime, id, bundles[index])));
    samples[crowd + ' starts at once, ' + what] = [performance.now() - begun];
    await Promise.all(ids.map((id) => end(runtime, id)));
  }
  await serving.close();
  await netd.close();
  console.log(JSON.stringify(samples));
  process.exit();
`;

/** What our runtime adds to the start of a container: below an engine, without its own share. */
export async function containerStarts(folder: string, quick: boolean): Promise<Row[]> {
  const runc = (await run('sh', ['-c', 'command -v runc'])).stdout.trim();
  const busybox = (await run('sh', ['-c', 'command -v busybox'])).stdout.trim();
  if (runc === '' || busybox === '') {
    process.stderr.write('no runc or busybox here: apt-get install -y runc busybox-static\n');
    return [];
  }
  await mkdir(path.join(folder, 'rootfs/bin'), { recursive: true });
  for (const name of ['proc', 'dev']) await mkdir(path.join(folder, 'rootfs', name));
  await copyFile(busybox, path.join(folder, 'rootfs/bin/busybox'));
  const script = path.join(folder, 'eru-oci');
  const text = runtimeScript({
    runtime: runc,
    calls: runtimeFolder(path.join(folder, 'netd.sock')),
    declared: declaredFolder(path.join(folder, 'netd')),
    namespaces: '/run/eru/netns',
    dockerContainers: '/var/lib/docker/containers',
    settings: { script, all: false, trustImages: false },
  });
  await writeFile(script, text);
  await chmod(script, 0o755);
  const modules = ['@eru/network', '@eru/kit'].map((name) => import.meta.resolve(name));
  const size = quick ? ['3', '5'] : ['20', '50'];
  const words = ['--net', '--mount', '--propagation', 'private', 'sh', '-ec', host, process.execPath, program];
  const { stdout } = await runOk('unshare', [...words, ...modules, folder, ...size, runc], { timeoutMs: 300_000 });
  const samples = JSON.parse(stdout) as Record<string, number[]>;
  const least = (what: string): number => Math.min(...(samples[what] ?? []));
  const added = ([kind, target]: readonly [kind: string, target: number]): Row => {
    const value = least(`create and start, ${kind}`) - least('create and start, plain runc');
    return {
      bench: 'network',
      what: `${kind}: added to a start`,
      aspect: 'min',
      value,
      unit: 'ms',
      better: 'less',
      target,
    };
  };
  return [
    ...Object.entries(samples).flatMap(([what, values]): Row[] => [
      { bench: 'network', what, aspect: 'min', value: least(what), unit: 'ms' },
      ...(values.length === 1
        ? []
        : [{ bench: 'network', what, aspect: 'median', value: quantile(values, 0.5), unit: 'ms' } as const]),
    ]),
    ...targets.map(added),
  ];
}

/** Milliseconds that a start behind the wrapper may cost over one of plain runc, at the minimum. */
const targets = [
  ['the wrapper, passing through', 5],
  ['the wrapper, one fixed address', 60],
] as const;
