import { lstat, mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { readTar, writeTar, type Engine, type Mount, type WorkloadState } from '@eru/engines';
import { run, runOk, systemRandom } from '@eru/kit';
import { afterEach, describe, expect, it } from 'vitest';

import { freePort } from '../../store/src/free-ports.ts';
import { describeAsRoot } from '../../../tests/parts.ts';
import { bundleChild, TestNode, type Ways } from './node.suite.ts';
import { lines, specOf } from './spec.suite.ts';
import { probe } from './process/probe.ts';

const serves = ['/bin/sh', '-c', 'echo run; exec sleep 1000'];
const ways = ['conmon', 'shell', 'plain'] as const;

describeAsRoot(['runc', 'conmon'], 'the life of a process', () => {
  const nodes: TestNode[] = [];
  const made = async (way: Ways, folder?: string): Promise<TestNode> => {
    const node = await TestNode.create(way, folder);
    nodes.push(node);
    return node;
  };
  const gates: string[] = [];
  /** What a command waits for: `script` ends when it is open. */
  const gate = async (way: Ways): Promise<{ script: string; mounts: Mount[]; open: () => Promise<void> }> => {
    const folder = await mkdtemp(path.join(tmpdir(), 'eru-gate-'));
    gates.push(folder);
    // Without runc it has the files of the host.
    const [inside, mounts] =
      way === 'plain' ? [folder, []] : ['/mnt', [{ source: folder, target: '/mnt', readOnly: true }]];
    return {
      script: `while [ ! -e ${inside}/open ]; do sleep 0.01; done`,
      mounts,
      open: () => writeFile(path.join(folder, 'open'), ''),
    };
  };
  afterEach(async () => {
    for (const node of nodes.splice(0)) await node.close();
    for (const folder of gates.splice(0)) await rm(folder, { recursive: true });
  });

  describe.each(ways)('%s', (way) => {
    it('restarts by its policy, and stops when it is told to', async () => {
      const engine = await (await made(way)).engine();
      const command = ['/bin/sh', '-c', 'exit 3'];
      const { id } = await engine.create(specOf(command, { restart: { type: 'on-failure', retries: 2 } }));
      await engine.start(id);
      expect(await engine.wait(id)).toMatchObject({ exitCode: 3 });
      expect(await engine.inspect(id)).toMatchObject({ state: 'exited', restarts: 2 });
      const { id: always } = await engine.create(specOf(serves, { restart: { type: 'always', retries: 0 } }));
      await engine.start(always);
      await engine.kill(always, 'KILL');
      await until(engine, always, ({ state, restarts }) => state === 'running' && restarts === 1);
      await engine.stop(always, { graceMs: 0 });
      expect(await engine.inspect(always)).toMatchObject({ state: 'exited', restarts: 1 });
    });

    it.each([
      ['/no/such-program', 127, /no\/such-program.*(no such file|not found)/],
      ['/etc/passwd', 126, /permission denied/i],
    ])('says plainly why %s cannot be run in it', async (program, code, words) => {
      const engine = await (await made(way)).engine();
      const { id } = await engine.create(specOf(serves));
      await engine.start(id);
      for (const tty of [false, true]) {
        const session = await engine.exec(id, { command: [program], env: [], dir: '', user: '', stdin: tty, tty });
        let said = '';
        for await (const { data } of session.output) said += Buffer.from(data).toString();
        expect(said).toMatch(words);
        expect(said).not.toContain('level=');
        expect(await session.exit).toBe(code);
      }
    });

    it('stays paused over daemons, and heeds its stop signal all the same', async () => {
      const node = await made(way);
      let engine = await node.engine();
      const ticks = ['/bin/sh', '-c', 'trap "exit 5" TERM; echo armed; while :; do sleep 0.02; done'];
      const { id } = await engine.create(specOf(ticks));
      await engine.start(id);
      await expect.poll(() => lines(engine, id)).toEqual(['armed']);
      await engine.suspend(id);
      const before = await engine.stats(id);
      await engine.close();
      engine = await node.engine();
      expect(await engine.inspect(id)).toMatchObject({ state: 'paused' });
      await sleep(100);
      expect((await engine.stats(id)).cpuSeconds).toBe(before.cpuSeconds);
      await expect(
        engine.exec(id, { command: ['true'], env: [], dir: '', user: '', stdin: false, tty: false }),
      ).rejects.toMatchObject({ code: 'precondition' });
      await engine.stop(id);
      expect(await engine.inspect(id)).toMatchObject({ state: 'exited', exitCode: 5 });
      await engine.start(id);
      await engine.suspend(id);
      await engine.kill(id, 'KILL');
      expect(await engine.wait(id)).toMatchObject({ exitCode: 137 });
      await engine.start(id);
      await engine.suspend(id);
      await engine.remove(id, { force: true });
    });

    it('keeps exit codes and output while no daemon lives', async () => {
      const node = await made(way);
      let engine = await node.engine();
      const { script, mounts, open } = await gate(way);
      const { id } = await engine.create(
        specOf(['/bin/sh', '-c', `echo one; ${script}; echo two; exit 9`], { mounts }),
      );
      await engine.start(id);
      const { pid } = await engine.inspect(id);
      await engine.close();
      await open();
      await gone(pid);
      const ended = Date.now();
      engine = await node.engine();
      const state = await engine.inspect(id);
      expect(state).toMatchObject({ state: 'exited', exitCode: 9, oomKilled: false, error: '' });
      // When it ended, not when that was seen.
      expect(state.finishedAtMs).toBeLessThanOrEqual(ended);
      expect(await lines(engine, id)).toEqual(['one', 'two']);
    });

    it('starts again after a reboot what should run, and nothing else', async () => {
      const node = await made(way);
      let engine = await node.engine();
      const always = { restart: { type: 'always', retries: 0 } } as const;
      const wanted = await engine.create(specOf(serves, always));
      const stopped = await engine.create(specOf(serves, always));
      const once = await engine.create(specOf(serves));
      for (const { id } of [wanted, stopped, once]) await engine.start(id);
      await engine.stop(stopped.id);
      const before = await engine.inspect(wanted.id);
      await engine.close();
      // A reboot ends every process; what ran has left no exit code.
      for (const { id } of [wanted, once]) await node.crash(id);
      node.change({ bootId: '00000000-0000-4000-8000-000000000001' });
      engine = await node.engine();
      await until(engine, wanted.id, ({ state }) => state === 'running');
      const after = await engine.inspect(wanted.id);
      expect(after).toMatchObject({ restarts: 1 });
      expect(after.pid).not.toBe(before.pid);
      expect(await engine.inspect(stopped.id)).toMatchObject({ state: 'exited', restarts: 0 });
      const lost = await engine.inspect(once.id);
      expect(lost).toMatchObject({ state: 'exited', exitCode: 255, restarts: 0 });
      expect(lost.error).toContain('was not seen');
    });

    it('takes a pid that belongs to somebody else for what it is', async () => {
      const node = await made(way);
      let engine = await node.engine();
      const { id } = await engine.create(specOf(serves));
      await engine.start(id);
      await engine.close();
      await node.crash(id);
      // The same pid, alive, with another start time: ours.
      await node.edit(id, (status) => ({
        ...status,
        run: { ...status.run!, main: { ...status.run!.main!, pid: process.pid } },
      }));
      engine = await node.engine();
      expect(await engine.inspect(id)).toMatchObject({ state: 'exited', pid: 0 });
      await engine.remove(id, { force: true });
    });

    it('is taken over, run on and ended by a daemon that would start it otherwise', async () => {
      const node = await made(way);
      let engine = await node.engine();
      const { id } = await engine.create(specOf(serves, { restart: { type: 'always', retries: 0 } }));
      await engine.start(id);
      const before = await engine.inspect(id);
      await engine.close();
      const other = await TestNode.create(way === 'shell' ? 'conmon' : 'shell');
      node.change({ conmon: other.machine.conmon, runc: other.machine.runc });
      await other.close();
      engine = await node.engine();
      expect(await engine.inspect(id)).toMatchObject({
        state: 'running',
        pid: before.pid,
        startedAtMs: before.startedAtMs,
      });
      const session = await engine.exec(id, {
        command: ['true'],
        env: [],
        dir: '',
        user: '',
        stdin: false,
        tty: false,
      });
      expect(await session.exit).toBe(0);
      await engine.kill(id, 'KILL');
      await until(engine, id, ({ state, restarts }) => state === 'running' && restarts === 1);
      await engine.stop(id);
      expect(await engine.inspect(id)).toMatchObject({ state: 'exited', exitCode: 143 });
      expect(await lines(engine, id)).toEqual(['run', 'run']);
    });
  });

  it('keeps an out-of-memory kill while no daemon lives, and tells it from a plain one', async () => {
    for (const way of ['conmon', 'shell'] as const) {
      const node = await made(way);
      let engine = await node.engine();
      const { script, mounts, open } = await gate(way);
      const hog = ['/bin/sh', '-c', `${script}; x=x; while :; do x=$x$x$x$x; done`];
      const limits = { cpumem: { memory: 32 * 2 ** 20 } };
      const { id } = await engine.create(specOf(hog, { engineParams: limits, mounts }));
      const { id: plain } = await engine.create(specOf(serves, { engineParams: limits }));
      for (const one of [id, plain]) await engine.start(one);
      const pids = await Promise.all([id, plain].map(async (one) => (await engine.inspect(one)).pid));
      await engine.close();
      await open();
      process.kill(pids[1] ?? 0, 'SIGKILL');
      for (const pid of pids) await gone(pid);
      engine = await node.engine();
      expect(await engine.inspect(id)).toMatchObject({ state: 'exited', exitCode: 137, oomKilled: true });
      expect(await engine.inspect(plain)).toMatchObject({ state: 'exited', exitCode: 137, oomKilled: false });
    }
  });

  it('has its ports for as long as it is there', async () => {
    const node = await made('conmon');
    let engine = await node.engine();
    const first = await engine.create(specOf(serves, { publish: ['http'] }));
    const second = await engine.create(specOf(serves, { publish: ['http'] }));
    const port = first.ports['http'] ?? 0;
    expect(second.ports['http']).not.toBe(port);
    await engine.close();
    engine = await node.engine();
    expect((await engine.inspect(first.id)).ports).toEqual(first.ports);
    await expect(engine.create(specOf(serves, { publish: [String(port)] }))).rejects.toMatchObject({ code: 'busy' });
    await engine.remove(first.id);
    const third = await engine.create(specOf(serves, { publish: [String(port)] }));
    await engine.remove(third.id);
    const holder = net.createServer().listen(port, '127.0.0.1');
    await new Promise((resolve) => holder.once('listening', resolve));
    try {
      await expect(engine.create(specOf(serves, { publish: [String(port)] }))).rejects.toThrow(
        `port ${port} is in use`,
      );
    } finally {
      holder.close();
    }
    expect(await engine.list()).toHaveLength(1);
  });

  it('takes files before the start and while it runs, and nowhere that is not its own', async () => {
    const engine = await (await made('conmon')).engine();
    const put = (id: string, folder: string, name: string, text: string) =>
      engine.copyTo(id, folder, [
        writeTar([[name, { contents: Buffer.from(text), mode: 0o640, uid: 7, gid: 8 }]]),
      ] as never);
    const take = async (id: string, file: string) => {
      const pieces: Uint8Array[] = [];
      for await (const piece of engine.copyFrom(id, file)) pieces.push(piece);
      return [...readTar(Buffer.concat(pieces)).values()];
    };
    const show = [
      '/bin/sh',
      '-c',
      'stat -c "%a %u:%g" /etc/eru.conf; cat /etc/eru.conf /tmp/early; echo late > /tmp/late; exec sleep 1000',
    ];
    const { id } = await engine.create(specOf(show, { root: { type: 'host', writable: true } }));
    await put(id, '/etc', 'eru.conf', 'conf\n');
    await put(id, '/tmp', 'early', 'early\n');
    await engine.start(id);
    await expect.poll(() => lines(engine, id)).toEqual(['640 7:8', 'conf', 'early']);
    await expect.poll(() => take(id, '/tmp/late').catch(() => [])).toHaveLength(1);
    await put(id, '/etc', 'eru.conf', 'new\n');
    const [conf] = await take(id, '/etc/eru.conf');
    expect(Buffer.from(conf?.contents ?? []).toString()).toBe('new\n');
    expect(conf).toMatchObject({ mode: 0o640, uid: 7, gid: 8 });
    await expect(engine.copyFrom(id, '/nowhere')[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: 'not_found',
    });
    const { id: bound } = await engine.create(specOf(serves));
    await expect(put(bound, '/etc', 'x', 'x')).rejects.toMatchObject({ code: 'precondition' });
    await engine.start(bound);
    await expect(put(bound, '/etc', 'x', 'x')).rejects.toMatchObject({ code: 'precondition' });
    await expect(lstat('/etc/eru.conf')).rejects.toThrow('ENOENT');
  });

  it.each(ways)('has an open input that outlives who attaches and the daemon: %s', async (way) => {
    const node = await made(way);
    let engine = await node.engine();
    const { id } = await engine.create(
      specOf(['/bin/sh', '-c', 'while read l; do echo "got $l"; printf "more> "; done'], { stdin: true }),
    );
    await engine.start(id);
    for (const word of ['one', 'two']) {
      const session = await engine.attach(id);
      await session.write(Buffer.from(`${word}\n`));
      let seen = '';
      for await (const { data } of session.output) {
        seen += Buffer.from(data).toString();
        if (seen.endsWith('more> ')) break;
      }
      expect(seen).toBe(`got ${word}\nmore> `);
      await session.close();
      await engine.close();
      engine = await node.engine();
    }
    expect(await engine.inspect(id)).toMatchObject({ state: 'running' });
  });

  it('lets its port number go when it has stopped, for what replaces it', async () => {
    const engine = await (await made('conmon')).engine();
    const port = String(await freePort());
    const first = await engine.create(specOf(serves, { publish: [port] }));
    await expect(engine.create(specOf(serves, { publish: [port] }))).rejects.toMatchObject({ code: 'busy' });
    await engine.start(first.id);
    await engine.stop(first.id, { graceMs: 0 });
    const second = await engine.create(specOf(serves, { publish: [port] }));
    await engine.start(second.id);
    await expect(engine.start(first.id)).rejects.toThrow(`port ${port} is in use by ${second.name}`);
    await engine.remove(second.id, { force: true });
    await engine.start(first.id);
  });

  it('is refused on a full disk, with nothing left behind', async () => {
    const disk = await mkdtemp(path.join(tmpdir(), 'eru-disk-'));
    await runOk('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', disk]);
    try {
      const node = await TestNode.create('conmon', path.join(disk, 'data'));
      const engine = await node.engine();
      const { id } = await engine.create(specOf(serves));
      await run('dd', ['if=/dev/zero', `of=${disk}/filler`, 'bs=1024']);
      await expect(engine.create(specOf(serves))).rejects.toThrow('the disk is full');
      await expect(engine.start(id)).rejects.toThrow('the disk is full');
      expect(await engine.list()).toMatchObject([{ id, state: 'created' }]);
      await rm(path.join(disk, 'filler'));
      await engine.start(id);
      await run('dd', ['if=/dev/zero', `of=${disk}/filler`, 'bs=1024']);
      await engine.remove(id, { force: true });
      expect(await node.leftovers()).toEqual([]);
      await rm(path.join(disk, 'filler'));
      await node.close();
    } finally {
      await runOk('umount', [disk]);
      await rm(disk, { recursive: true });
    }
  });

  it('works without control groups and without root, and says what is missing', async () => {
    const script = await bundleChild('look-child');
    const look = async (
      prefix: readonly string[],
    ): Promise<{ missing: string[]; lines: string[]; exitCode: number; pids: number; effective: object }> => {
      const folder = await mkdtemp(path.join(tmpdir(), 'eru-look-'));
      await runOk('chmod', ['777', folder]);
      try {
        const [program, ...args] = [...prefix, process.execPath, script, folder];
        const { stdout } = await runOk(program, args);
        return JSON.parse(stdout) as Awaited<ReturnType<typeof look>>;
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    };
    const readOnly =
      'for m in $(awk \'$3 ~ /^cgroup/ {print $2}\' /proc/mounts); do mount -o remount,bind,ro $m 2>/dev/null || mount --bind -o ro $m $m; done; exec "$@"';
    const inNamespace = await look(['unshare', '--mount', '--propagation', 'private', 'sh', '-c', readOnly, 'sh']);
    const asNobody = await look(['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups']);
    for (const seen of [inNamespace, asNobody]) {
      expect(seen).toMatchObject({ lines: ['run'], exitCode: 143, effective: {} });
      expect(seen.pids).toBeGreaterThan(0);
      expect(seen.missing.join('\n')).toMatch(/runc cannot be used here/);
      expect(seen.missing.join('\n')).toMatch(/cgroups cannot be written for cpu, memory, pids, cpuset/);
    }
  });

  it('is found by trying, and refused where it does not work', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'eru-probe-'));
    try {
      const machine = await probe(folder, systemRandom);
      expect(machine.offers.join('\n')).toMatch(/runc \d[^]*conmon \d[^]*cgroup v[12]: cpu, memory, pids, cpuset/);
      expect(machine.missing).toEqual([]);
      const { runc, offers, missing } = await probe(folder, systemRandom, 'crun');
      // Where it does not work that is said, and the other one taken.
      if (runc === machine.runc)
        expect(missing.join('\n')).toMatch(/^crun cannot be used here \(.+\): runc is taken$/m);
      else expect(offers.join('\n')).toMatch(/^crun \d/m);
    } finally {
      await rm(folder, { recursive: true });
    }
    const engine = await (await made('plain')).engine();
    const refused = [
      { root: { type: 'host', writable: true } },
      { networks: { none: '' } },
      { dns: ['10.0.0.1'] },
    ] as const;
    for (const more of refused)
      await expect(engine.create(specOf(serves, more))).rejects.toMatchObject({ code: 'unsupported' });
  });

  it('has the names, limits and environment that it asks for', async () => {
    const engine = await (await made('conmon')).engine();
    const say =
      'cat /etc/resolv.conf; tail -n 1 /etc/hosts; ulimit -Sn; ulimit -Hn; echo $A; cat /proc/sys/kernel/shmmni';
    const asked = specOf(['/bin/sh', '-c', say], {
      dns: ['10.1.2.3'],
      extraHosts: ['db:10.0.0.9'],
      ulimits: { nofile: { soft: 64, hard: 128 } },
      env: ['A=1', 'A=2'],
      sysctls: { 'kernel.shmmni': '77' },
    });
    const { id } = await engine.create(asked);
    await engine.start(id);
    await engine.wait(id);
    expect(await lines(engine, id)).toEqual(['nameserver 10.1.2.3', '10.0.0.9 db', '64', '128', '2', '77']);
  });
});

async function until(engine: Engine, id: string, is: (state: WorkloadState) => boolean): Promise<void> {
  const events = engine.events({ signal: AbortSignal.timeout(20_000) });
  for await (const _event of events) if (is(await engine.inspect(id))) return;
}

async function gone(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
      await sleep(10);
    } catch {
      return;
    }
  }
}
