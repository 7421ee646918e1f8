import { setTimeout as sleep } from 'node:timers/promises';

import { metricsText, usageFromMachine, WorkloadMetrics } from '@eru/agent';
import { bareSpec, type Engine, type EngineParams, type WorkloadSpec, type WorkloadState } from '@eru/engines';
import { silentLogger, systemClock } from '@eru/kit';

import { check, type Check, type IoPlace } from './check.ts';

const mib = 2 ** 20;
const blocks = 16;
const limitMs = 60_000;

/** IO limits bind, and what the agent's metrics say of processor, memory and disk is what was used. */
export async function checkFigures(engine: Engine, place: IoPlace): Promise<Check[]> {
  const [disk, hungry, loop] = await Promise.all([
    started(engine, ioSpec(place)),
    started(engine, figureSpec('hungry', hungryScript, { cpumem: { memory: 32 * mib } })),
    started(engine, figureSpec('loop', 'while :; do :; done & while :; do :; done', { cpumem: { cpu: 0.1 } })),
  ]);
  const ioMs = await took(engine, disk);
  await said(engine, hungry, 'killed');
  const before = await engine.stats(loop);
  const seen = await metricsOf(
    engine,
    [disk, hungry, loop],
    ({ of }) => of('memory_bytes', hungry) > 8 * mib && of('cpu_throttled_seconds_total', loop) > 0,
  );
  const { of } = seen;
  const after = await engine.stats(loop);
  const { limits } = await engine.inspect(disk);
  const lifted = (await engine.update(disk, {})).limits;
  for (const id of [disk, hungry, loop]) await engine.remove(id, { force: true });
  const seconds = of('cpu_seconds_total', loop);
  const [oomKills, memory] = [of('oom_kills_total', hungry), of('memory_bytes', hungry)];
  const [read, written] = [of('disk_read_bytes_total', disk), of('disk_written_bytes_total', disk)];
  return [
    check(
      'IO limits are read back',
      JSON.stringify(limits.effective.io?.map(({ directOnly: _note, ...limit }) => limit)) ===
        JSON.stringify(limits.requested.io) && limits.requested.io?.length === 1,
      limits,
    ),
    check('1 MiB read at 512 KiB/s and 16 writes at 8/s take some 4 s', ioMs > 3000, ioMs),
    check('IO limits are lifted while it runs', lifted.effective.io === undefined, lifted),
    check('metrics: bytes of the disk', read >= mib && written >= mib, { read, written }),
    check('metrics: operations of the disk', of('disk_writes_total', disk) >= blocks, of('disk_writes_total', disk)),
    check('metrics: a child killed for want of memory is counted', oomKills >= 1, oomKills),
    check('metrics: 8 MiB held are seen, in 32', memory < 32 * mib, memory),
    check('metrics: the memory limit', of('memory_limit_bytes', hungry) === 32 * mib, of('memory_limit_bytes', hungry)),
    check('metrics: the quota', of('cpu_limit_cores', loop) === 0.1, of('cpu_limit_cores', loop)),
    check(
      'metrics: processor time as the engine counts it',
      seconds > 0 && seconds >= before.cpuSeconds - 0.001 && seconds <= after.cpuSeconds + 0.001,
      [before.cpuSeconds, seconds, after.cpuSeconds],
    ),
    check(
      'metrics: held back by it',
      of('cpu_throttled_seconds_total', loop) > 0,
      of('cpu_throttled_seconds_total', loop),
    ),
    ...(seen.version === 2
      ? [
          check(
            'metrics: pressure on the processor',
            of('pressure_seconds_total', loop) > 0,
            of('pressure_seconds_total', loop),
          ),
        ]
      : []),
  ];
}

/** A child that wants twice the limit is killed; its parent goes on, and holds 8 MiB. */
const hungryScript = `head -c ${64 * mib} /dev/zero | tail -c ${64 * mib} > /dev/null; echo killed; (head -c ${8 * mib} /dev/zero; sleep 600) | tail -c ${8 * mib}`;

function ioSpec({ device, source, target, more }: IoPlace): WorkloadSpec {
  const size = `bs=64k count=${blocks}`;
  const script = `echo begun; dd if=${source} of=/dev/null ${size} iflag=direct && dd if=/dev/zero of=${target} ${size} conv=notrunc oflag=direct && echo done; exec sleep 600`;
  const io = { storage: { iops_options: { [device]: '0:8:512K:0' } } };
  return { ...figureSpec('disk', script, io), ...more };
}

function figureSpec(name: string, script: string, engineParams: EngineParams): WorkloadSpec {
  return bareSpec(`figures_${name}_abcdef`, ['sh', '-c', script], { engineParams });
}

async function started(engine: Engine, spec: WorkloadSpec): Promise<string> {
  const { id } = await engine.create(spec);
  await engine.start(id);
  return id;
}

/** Milliseconds from its first line to `done`. */
async function took(engine: Engine, id: string): Promise<number> {
  const begunMs = await said(engine, id, 'begun');
  return (await said(engine, id, 'done')) - begunMs;
}

/** When it said this line, which is waited for. */
async function said(engine: Engine, id: string, line: string): Promise<number> {
  const lines: string[] = [];
  for await (const { data, atMs } of engine.logs(id, { follow: true, signal: AbortSignal.timeout(limitMs) })) {
    lines.push(Buffer.from(data).toString().trim());
    if (lines.at(-1) === line) return atMs;
  }
  throw new Error(`${id} never said ${line}: ${lines.join(' | ')}`);
}

interface Figures {
  /** Of `eru_workload_NAME`, the sum over its other labels. */
  of: (name: string, id: string) => number;
  version: 1 | 2;
}

/** The text of `/metrics`, taken apart; taken until it is `ready`. */
async function metricsOf(
  engine: Engine,
  ids: readonly string[],
  ready: (figures: Figures) => boolean,
): Promise<Figures> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const states: WorkloadState[] = await Promise.all(ids.map((id) => engine.inspect(id)));
    const workloads = new Map(states.map((state) => [state.id, { state, health: undefined }]));
    const metrics = new WorkloadMetrics({
      node: 'box',
      workloads,
      readUsage: usageFromMachine('/proc'),
      proc: '/proc',
      stepMs: limitMs,
      statsd: undefined,
      clock: systemClock,
      logger: silentLogger,
    });
    const stop = new AbortController();
    const running = metrics.run(stop.signal).catch(() => {});
    await sleep(1000);
    stop.abort();
    await running;
    const lines = metricsText({ trouble: '', workloads }, metrics, undefined).split('\n');
    const ofName = (name: string, id: string): string[] =>
      lines.filter((line) => line.startsWith(`eru_workload_${name}{`) && line.includes(id));
    const figures: Figures = {
      of: (name, id) => ofName(name, id).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0),
      version: lines.some((line) => line.startsWith('eru_workload_pressure_seconds_total{')) ? 2 : 1,
    };
    if (ready(figures) || Date.now() > deadline) return figures;
  }
}
