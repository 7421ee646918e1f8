import { create, pb } from '@eru/contract';
import type { Engine, WorkloadSpec } from '@eru/engines';
import { bareSpec, SimulatedMachine } from '@eru/engines';
import { EruError, seededRandom, VirtualClock } from '@eru/kit';
import { afterEach, beforeEach, expect, test } from 'vitest';

import type { Agent, AgentOptions } from './agent.ts';
import { startAgent } from './agent.ts';
import type { CoreCalls } from './core-calls.ts';
import type { Health } from './health.ts';
import type { Report } from './report.ts';

const second = 1000;
const minute = 60 * second;

/** Remembers what it was told and when; may be away, or not know some ids. */
class FakeCore implements CoreCalls {
  readonly #clock: VirtualClock;
  readonly heartbeats: { atMs: number; ttl: number }[] = [];
  readonly attempts: number[] = [];
  readonly calls: string[][] = [];
  readonly told: { atMs: number; report: Report }[] = [];
  readonly unknown = new Set<string>();
  away = false;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  /** Absent: core has no such node. */
  endpoint: string | undefined = 'tcp://192.0.2.1:2376';
  readonly added: { pod: string; endpoint: string }[] = [];

  readonly core: CoreCalls['core'] = {
    getNode: () => {
      this.attempts.push(this.#clock.monotonic());
      if (this.away) return Promise.reject(new EruError('unavailable', 'core is away'));
      if (this.endpoint === undefined) return Promise.reject(new EruError('not_found', 'no such node'));
      if (this.endpoint === 'secret') return Promise.reject(new EruError('forbidden', 'not for you'));
      return Promise.resolve(create(pb.NodeSchema, { podname: 'default', endpoint: this.endpoint }));
    },
    addPod: () => Promise.reject(new EruError('exists', 'pod is there')),
    addNode: ({ podname = '', endpoint = '' }) => {
      this.added.push({ pod: podname, endpoint });
      this.endpoint = endpoint;
      return Promise.resolve(create(pb.NodeSchema));
    },
    setNodeStatus: ({ ttl }) => {
      this.attempts.push(this.#clock.monotonic());
      if (this.away) return Promise.reject(new EruError('unavailable', 'core is away'));
      this.heartbeats.push({ atMs: this.#clock.monotonic(), ttl: Number(ttl) });
      return Promise.resolve({ $typeName: 'pb.Empty' });
    },
  };

  readonly eru: CoreCalls['eru'] = {
    reportWorkloads: ({ reports }) => {
      this.attempts.push(this.#clock.monotonic());
      if (this.away) return Promise.reject(new EruError('unavailable', 'core is away'));
      const atMs = this.#clock.monotonic();
      const list = (reports ?? []) as Report[];
      this.calls.push(list.map(({ id }) => id));
      for (const report of list) if (!this.unknown.has(report.id)) this.told.push({ atMs, report });
      const unknown = list.map(({ id }) => id).filter((id) => this.unknown.has(id));
      return Promise.resolve({ $typeName: 'eru.v1.ReportWorkloadsResponse', unknown });
    },
  };

  of(id: string): { atMs: number; report: Report }[] {
    return this.told.filter(({ report }) => report.id === id);
  }

  last(id: string): Report['status'] {
    return this.of(id).at(-1)?.report.status;
  }
}

const spec = (name: string, change: Partial<WorkloadSpec> = {}): WorkloadSpec =>
  bareSpec(name, ['serve'], {
    labels: { ERU: '1', 'eru.nodename': 'n1', 'eru.coreid': 'c1', 'eru.operation': name },
    networks: { host: '' },
    ...change,
  });

/** With a check on the published port `http`. */
function checked(name: string): WorkloadSpec {
  const plain = spec(name);
  const meta = { HealthCheck: { TCPPorts: ['http'], HTTPPort: '', HTTPURL: '', HTTPCode: 0 } };
  return { ...plain, publish: ['http'], labels: { ...plain.labels, ERU_META: JSON.stringify(meta) } };
}

let clock: VirtualClock;
let machine: SimulatedMachine;
let engine: Engine;
let core: FakeCore;
let agents: Agent[];
let probes: number[];
let health: Health;

beforeEach(() => {
  clock = new VirtualClock();
  machine = new SimulatedMachine({ name: 'n1', clock, random: seededRandom(7) });
  engine = machine.engine();
  core = new FakeCore(clock);
  agents = [];
  probes = [];
  health = { healthy: true, reason: '' };
});

afterEach(async () => {
  await Promise.all(agents.map((agent) => clock.run(agent.close())));
});

async function start(options: Partial<AgentOptions> = {}): Promise<Agent> {
  const probe: AgentOptions['probe'] = () => {
    probes.push(clock.monotonic());
    return Promise.resolve(health);
  };
  const random = seededRandom(1);
  const agent = startAgent({
    node: 'n1',
    core,
    engine: machine.engine(),
    cluster: 'c1',
    clock,
    random,
    probe,
    ...options,
  });
  agents.push(agent);
  await clock.advance(0);
  return agent;
}

async function running(what: WorkloadSpec): Promise<string> {
  const { id } = await engine.create(what);
  await engine.start(id);
  await clock.advance(0);
  return id;
}

test('the node is alive from the start, every interval, for three of them', async () => {
  await start();
  await clock.advance(2 * minute);
  expect(core.heartbeats).toEqual([0, 60, 120].map((at) => ({ atMs: at * second, ttl: 180 })));
});

test('a silent engine sends no heartbeat, and the first after its return reports everything anew', async () => {
  const id = await running(spec('a_web_aaaaaa'));
  await start();
  machine.faults = (verb) => {
    if (verb === 'ping') throw new EruError('unavailable', 'no engine');
  };
  await clock.advance(10 * minute);
  expect(core.heartbeats).toHaveLength(1);
  machine.faults = undefined;
  const before = core.of(id).length;
  await clock.advance(minute);
  expect(core.heartbeats.length).toBeGreaterThan(1);
  expect(core.of(id)).toHaveLength(before + 1);
});

test('closing keeps the node alive unless it is to leave', async () => {
  const stays = await start();
  await clock.run(stays.close());
  expect(core.heartbeats.map(({ ttl }) => ttl)).toEqual([180]);
  const leaves = await start();
  await clock.run(leaves.close({ leave: true }));
  expect(core.heartbeats.map(({ ttl }) => ttl)).toEqual([180, 180, -1]);
  await running(spec('a_web_aaaaaa'));
  await clock.advance(10 * minute);
  expect(core.told).toEqual([]);
});

test('what runs at the start is reported in few calls, with all that is known of it', async () => {
  const first = await running({
    ...checked('a_web_aaaaaa'),
    engineParams: { cpumem: { cpu: 0.25, memory: 1024 } },
    pids: 9,
  });
  const second = await running(spec('a_web_bbbbbb', { networks: { bridge: '' } }));
  await start();
  await clock.advance(1000);
  expect(core.calls.flat().toSorted()).toEqual([first, second].toSorted());
  expect(core.last(first)).toMatchObject({
    state: 'running',
    running: true,
    healthy: true,
    reason: '',
    startedAt: BigInt(clock.now() - 1000),
    networks: { host: '192.0.2.1' },
    ports: { http: 20_000 },
    effective: { cpu: 0.25, memory: 1024n, pids: 9 },
  });
  expect(core.last(second)?.networks).toEqual({ bridge: '172.17.0.2' });
  const extension = core.of(first).map(({ report }) => new TextDecoder().decode(report.extension));
  expect(JSON.parse(extension.join(''))).toMatchObject({ ERU: '1', 'eru.nodename': 'n1' });
});

test('only workloads of this node and cluster are looked at', async () => {
  await start();
  const labels = spec('x').labels;
  await running(spec('a_web_aaaaaa', { labels: { ...labels, 'eru.nodename': 'n2' } }));
  await running(spec('a_web_bbbbbb', { labels: { ...labels, 'eru.coreid': 'c2' } }));
  await running(spec('a_web_cccccc', { labels: { 'eru.nodename': 'n1', 'eru.coreid': 'c1' } }));
  const mine = await running(spec('a_web_dddddd'));
  await clock.advance(2 * minute);
  expect(new Set(core.calls.flat())).toEqual(new Set([mine]));
});

test('what starts while the first list is under way is not lost', async () => {
  let listing = (): void => {};
  machine.faults = (verb, phase) =>
    verb === 'list' && phase === 'after' ? new Promise<void>((resolve) => (listing = resolve)) : undefined;
  await start();
  const id = await running(spec('a_web_aaaaaa'));
  expect(core.last(id)?.running).toBe(true);
  await machine.exit(id, 0);
  await clock.advance(0);
  machine.faults = undefined;
  listing(); // The list is older than the exit, and must not bring it back to life.
  await clock.advance(minute);
  expect(core.last(id)?.running).toBe(false);
});

test('an exit is told at once, with its code; a removal needs no words', async () => {
  await start();
  const id = await running(spec('a_web_aaaaaa'));
  await clock.advance(second);
  await machine.exit(id, 137, { oomKilled: true });
  await clock.advance(0);
  expect(core.of(id).at(-1)?.atMs).toBe(second);
  expect(core.last(id)).toMatchObject({
    state: 'exited',
    running: false,
    healthy: false,
    reason: 'out of memory, ended with 137',
    exitCode: 137,
    oomKilled: true,
    networks: {},
  });
  const told = core.told.length;
  await engine.remove(id);
  await clock.advance(10 * minute);
  expect(core.told).toHaveLength(told);
});

test('an exit is told although a probe hangs, and what the probe says later is not', async () => {
  let answer = (_health: Health): void => {};
  const probe: AgentOptions['probe'] = () => new Promise((resolve) => (answer = resolve));
  await start({ probe });
  const id = await running(checked('a_web_aaaaaa'));
  await machine.exit(id, 1);
  await clock.advance(second);
  answer({ healthy: true, reason: '' });
  await clock.advance(second);
  expect(core.last(id)).toMatchObject({ running: false, healthy: false });
  expect(core.told.every(({ report }) => report.status?.healthy === false)).toBe(true);
});

test('a start is checked at 0, 1, 3, 7, 15 s, ever more seldom, and the first success is told', async () => {
  health = { healthy: false, reason: 'refused' };
  await start({ healthcheck: { intervalS: 3600 } });
  await clock.advance(0.5 * second);
  const id = await running(checked('a_web_aaaaaa'));
  await clock.advance(20 * second);
  expect(probes.map((atMs) => atMs - 0.5 * second)).toEqual([0, 1, 3, 7, 15].map((at) => at * second));
  expect(core.last(id)).toMatchObject({ running: true, healthy: false, reason: 'refused' });
  health = { healthy: true, reason: '' };
  await clock.advance(minute);
  expect(probes.map((atMs) => atMs - 0.5 * second).slice(5)).toEqual([31 * second]);
  expect(core.of(id).at(-1)?.atMs).toBe(31.5 * second);
  expect(core.last(id)).toMatchObject({ healthy: true, reason: '' });
});

test('a new run begins the series again', async () => {
  health = { healthy: false, reason: 'refused' };
  await start({ healthcheck: { intervalS: 3600 } });
  const id = await running(checked('a_web_aaaaaa'));
  await clock.advance(5 * second);
  await machine.exit(id, 1);
  await clock.advance(20 * second);
  expect(probes).toEqual([0, 1, 3].map((at) => at * second));
  await engine.start(id);
  await clock.advance(4 * second);
  expect(probes.slice(3)).toEqual([25, 26, 28].map((at) => at * second));
});

test('health flips are found by the sweep and told once each', async () => {
  await start({ healthcheck: { intervalS: 10 } });
  const id = await running(checked('a_web_aaaaaa'));
  health = { healthy: false, reason: 'refused' };
  await clock.advance(30 * second);
  health = { healthy: true, reason: '' };
  await clock.advance(30 * second);
  const flips = core.of(id).filter(({ report }) => report.status?.running === true);
  expect(flips.map(({ atMs, report }) => [atMs, report.status?.healthy])).toEqual([
    [0, true],
    [10 * second, false],
    [40 * second, true],
  ]);
});

test('core away for an hour: few attempts, everybody waits for one, and then all is told once', async () => {
  const exits = await running(spec('a_web_aaaaaa'));
  const vanishes = await running(spec('a_web_bbbbbb'));
  const stays = await running(spec('a_web_cccccc'));
  await start();
  core.away = true;
  await clock.advance(30 * minute);
  await machine.exit(exits, 3);
  await machine.vanish(vanishes);
  const starts = await running(spec('a_web_dddddd'));
  await clock.advance(30 * minute);
  const attempts = core.attempts.filter((atMs) => atMs > 2 * minute);
  expect(attempts.length).toBeLessThan(150);
  let previous = 0;
  for (const atMs of attempts) {
    expect(atMs - previous).toBeGreaterThanOrEqual(30 * second);
    previous = atMs;
  }
  core.away = false;
  const before = core.calls.length;
  await clock.advance(minute);
  expect(core.calls.slice(before).map((call) => call.toSorted())).toEqual([[exits, stays, starts].toSorted()]);
  expect(core.last(exits)).toMatchObject({ running: false, exitCode: 3 });
});

test('a core that is away for a moment is found again soon, and only the news is told', async () => {
  const quiet = await running(spec('a_web_aaaaaa'));
  await start();
  core.away = true;
  const id = await running(spec('a_web_bbbbbb'));
  await clock.advance(2 * second);
  core.away = false;
  await clock.advance(4 * second);
  expect(core.last(id)?.running).toBe(true);
  expect(core.of(quiet)).toHaveLength(1);
});

test('an id that core does not know yet is told again until it does', async () => {
  await start();
  const { id } = await engine.create(spec('a_web_aaaaaa'));
  core.unknown.add(id);
  await engine.start(id);
  await clock.advance(5 * second);
  expect(core.calls.length).toBeGreaterThan(2);
  core.unknown.clear();
  await clock.advance(10 * second);
  expect(core.of(id)).toHaveLength(1);
  expect(core.last(id)?.running).toBe(true);
});

test('a broken event stream is opened again, and what happened meanwhile is found', async () => {
  const inner = machine.engine();
  const cut = new AbortController();
  const cuttable: Engine = Object.assign(Object.create(inner) as Engine, {
    ping: () => Promise.resolve(),
    list: inner.list.bind(inner),
    inspect: inner.inspect.bind(inner),
    events: (options: { signal: AbortSignal; after?: string }) => {
      if (!cut.signal.aborted) return inner.events({ signal: cut.signal });
      opened.push(options.after);
      return inner.events(options);
    },
  });
  const opened: (string | undefined)[] = [];
  const id = await running(spec('a_web_aaaaaa'));
  await start({ engine: cuttable, healthcheck: { intervalS: 3600 } });
  let down = true;
  machine.faults = (verb) => {
    if (down && verb === 'events') throw new EruError('unavailable', 'the daemon restarts');
  };
  cut.abort();
  await machine.exit(id, 4);
  await clock.advance(3 * second);
  expect(core.last(id)?.running).toBe(true);
  down = false;
  await clock.advance(5 * second);
  expect(core.last(id)).toMatchObject({ running: false, exitCode: 4 });
  expect(new Set(opened).size).toBe(1);
  expect(opened[0]).toMatch(/^\d+$/);
});

test('a crash loop takes no more of the status stream than its share, and the last state is told', async () => {
  await start();
  const id = await running(spec('a_web_aaaaaa'));
  const quiet = await running(spec('a_web_bbbbbb'));
  for (let crash = 0; crash < 300; crash++) {
    await clock.advance(0.5 * second);
    await machine.exit(id, 1);
    await clock.advance(0.5 * second);
    await engine.start(id);
  }
  const told = core.of(id).length;
  expect(told).toBeGreaterThan(6);
  expect(told).toBeLessThanOrEqual(6 + 300 / 10);
  await machine.exit(id, 42);
  await machine.exit(quiet, 43);
  await clock.advance(second);
  expect(core.last(quiet)?.exitCode).toBe(43);
  await clock.advance(10 * second);
  expect(core.last(id)).toMatchObject({ running: false, reason: 'ended with 42' });
  await clock.advance(70 * second); // Its share is whole again.
  for (const code of [1, 2]) {
    await engine.start(id);
    await clock.advance(0.5 * second);
    await machine.exit(id, code);
    await clock.advance(0.5 * second);
    expect(core.last(id)?.exitCode).toBe(code);
  }
});

test('a command in the workload may be its health check, at an interval of its own', async () => {
  const wishes = { cmds: ['test -e /ready'], interval: 5, failures: 2 };
  const what = spec('a_web_aaaaaa');
  let code = 0;
  machine = new SimulatedMachine({
    name: 'n1',
    clock,
    random: seededRandom(7),
    program: (process) => (process.role === 'main' ? process.ended : process.print('not yet\n').then(() => code)),
  });
  engine = machine.engine();
  await start();
  const id = await running({ ...what, labels: { ...what.labels, 'eru.healthcheck': JSON.stringify(wishes) } });
  expect(core.last(id)).toMatchObject({ healthy: true, reason: '' });
  code = 7;
  await clock.advance(6 * second);
  expect(core.last(id)?.healthy).toBe(true);
  await clock.advance(5 * second);
  const reason = 'command "test -e /ready" ended with 7: not yet';
  expect(core.last(id)).toMatchObject({ running: true, healthy: false, reason });
});

test('without a heartbeat nothing is said of the node, and its workloads are reported all the same', async () => {
  await start({ heartbeatIntervalS: 0 });
  const id = await running(spec('a_web_aaaaaa'));
  core.away = true;
  await machine.exit(id, 3);
  await clock.advance(2 * minute);
  core.away = false;
  await clock.advance(2 * minute);
  expect(core.heartbeats).toEqual([]);
  expect(core.last(id)?.exitCode).toBe(3);
});

test('a node that core does not know is waited for, or added when somebody has said how', async () => {
  core.endpoint = undefined;
  const waits = await start();
  expect(waits.trouble).toContain('core has no node n1; add it');
  expect(core.heartbeats).toEqual([]);
  core.endpoint = 'unix:///run/engine.sock';
  await clock.advance(2 * minute);
  expect(core.heartbeats.length).toBeGreaterThan(0);
  expect(waits).toMatchObject({ trouble: '', facts: { pod: 'default', ip: '127.0.0.1' } });
  core.endpoint = undefined;
  const registration = { pod: 'virt', endpoint: 'eru+unix:///run/node.sock' };
  const adds = await start({ registration });
  expect(core.added).toEqual([registration]);
  expect(adds).toMatchObject({ trouble: '', facts: { pod: 'virt' } });
});

test('who may not ask core for its node beats all the same', async () => {
  core.endpoint = 'secret';
  const agent = await start();
  expect(core.heartbeats).toHaveLength(1);
  expect(agent).toMatchObject({ trouble: '', facts: { pod: '', ip: '127.0.0.1' } });
});

test('workloads of other nodes are looked at when asked for, and skipped ones never', async () => {
  const labels = { ...spec('x').labels, 'eru.nodename': 'n2' };
  const foreign = await running(spec('a_web_aaaaaa', { labels }));
  const skipped = await running(spec('a_web_bbbbbb'));
  await start({ onlyMine: false, skip: [new RegExp(skipped.slice(0, 9))] });
  await clock.advance(second);
  expect(core.calls.flat()).toEqual([foreign]);
});

test('times that make no sense are refused', () => {
  const options = { node: 'n1', core, engine, clock };
  expect(() => startAgent({ ...options, heartbeatIntervalS: -1 })).toThrow('heartbeat_interval: -1 is not allowed');
  expect(() => startAgent({ ...options, healthcheck: { timeoutS: -1 } })).toThrow('healthcheck.timeout');
});
