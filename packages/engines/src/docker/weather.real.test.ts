import { createAuthority, issueCertificate } from '@eru/contract';
import { retry } from '@eru/kit';
import { chmod, mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';

import { busyboxImage } from '../../../../tests/busybox-image.ts';
import { Containerd } from '../../../../tests/containerd.ts';
import { Dockerd } from '../../../../tests/dockerd.ts';
import { describeAsRoot } from '../../../../tests/parts.ts';
import { all, Bench, refused, said } from '../contract/bench.suite.ts';
import { connectDocker } from './connect.ts';

/** Ends when dockerd, starting again, asks it to: what does not is given ten seconds. */
const serve = ['sh', '-c', 'trap exit TERM; while sleep 0.1; do :; done'];

/** An authority with a server and a client, and a client of another. */
async function certificates(host: string) {
  const times = { notBeforeMs: Date.now() - 60_000, notAfterMs: Date.now() + 3_600_000 };
  const [ca, other] = await Promise.all([
    createAuthority({ name: 'ours', ...times }),
    createAuthority({ name: 'another', ...times }),
  ]);
  const server = await issueCertificate(ca, { name: 'docker', hosts: [host], usage: 'server', ...times });
  const client = await issueCertificate(ca, { name: 'core', usage: 'client', ...times });
  const stranger = await issueCertificate(other, { name: 'core', usage: 'client', ...times });
  return { ca, server, client, stranger };
}

describeAsRoot(['docker', 'busybox'], 'docker in bad weather', () => {
  let containerd: Containerd;
  let dockerd: Dockerd;
  let bench: Bench;
  let before: string | undefined;
  let pems: Awaited<ReturnType<typeof certificates>> | undefined;

  beforeAll(async () => {
    dockerd = await Dockerd.start(async (machine) => {
      containerd = await Containerd.start(machine);
      pems = await certificates(machine.address);
      const { ca, server } = pems;
      const file = async (name: string, pem: string): Promise<string> => {
        await writeFile(path.join(machine.folder, name), pem);
        return path.join(machine.folder, name);
      };
      return [
        `--containerd=${containerd.socket}`,
        '--host=tcp://0.0.0.0:2376',
        '--tlsverify',
        `--tlscacert=${await file('ca.pem', ca.cert)}`,
        `--tlscert=${await file('cert.pem', server.cert)}`,
        `--tlskey=${await file('key.pem', server.key)}`,
      ];
    });
    bench = new Bench(connectDocker(`unix://${dockerd.socket}`), { spec: { image: busyboxImage, networks: {} } });
    before = process.env['PATH'];
  });
  afterEach(async () => {
    process.env['PATH'] = before;
    await bench.clear();
  });
  afterAll(async () => {
    await bench?.engine.close();
    await dockerd?.remove();
  });

  it('a daemon that hangs costs a caller the time it gives, and nothing afterwards', async () => {
    const { id } = await bench.created(serve);
    const spec = bench.spec(serve);
    try {
      await dockerd.freeze();
      await refused(bench.engine.ping({ timeoutMs: 200 }), 'timeout');
      await refused(bench.engine.start(id, { timeoutMs: 200 }), 'timeout');
      await refused(bench.engine.create(spec, { timeoutMs: 200 }), 'timeout');
    } finally {
      dockerd.thaw();
    }
    // What was asked may still come: asked again, it is one.
    const { id: made } = await bench.engine.create(spec);
    expect((await bench.engine.list({ labels: { suite: 'contract' } })).map(({ id }) => id).toSorted()).toEqual(
      [id, made].toSorted(),
    );
    await bench.engine.start(id);
  });

  it('a socket that is away is unavailable, and nothing is made twice', async () => {
    const spec = bench.spec(serve);
    const { id } = await bench.engine.create(spec);
    await rename(dockerd.socket, `${dockerd.socket}.away`);
    try {
      // Connections that are kept still work; new ones cannot be made.
      const fresh = connectDocker(`unix://${dockerd.socket}`);
      await refused(fresh.ping(), 'unavailable');
      await refused(fresh.create(spec), 'unavailable');
      await refused(all(fresh.events()), 'unavailable');
      await fresh.close();
    } finally {
      await rename(`${dockerd.socket}.away`, dockerd.socket);
    }
    expect((await bench.engine.create(spec)).id).toBe(id);
  });

  it('a daemon without its containerd runs no command, and says so by no word of the command', async () => {
    const id = await bench.running();
    const state = await bench.engine.inspect(id);
    await containerd.stop();
    try {
      for (const tty of [false, true]) {
        const session = await bench.exec(id, ['echo', 'here'], { tty });
        await refused(all(session.output), 'unavailable');
        await refused(session.exit, 'unavailable');
      }
    } finally {
      await containerd.start();
    }
    // Docker looks for it again in its own time; the container has not noticed.
    await retry(async () => expect((await said(await bench.exec(id, ['echo', 'here']))).stdout).toBe('here\n'), {
      attempts: 50,
      maxMs: 200,
    });
    // A command may say the same words.
    const words = 'connection error: desc = "x": unavailable';
    expect(await said(await bench.exec(id, ['echo', words]))).toEqual({ stdout: `${words}\n`, stderr: '', code: 0 });
    expect(await bench.engine.inspect(id)).toEqual(state);
  });

  it('a daemon that dies and comes back: told, gone on with, policies honoured, no duplicate', async () => {
    const kept = bench.spec(serve, { restart: { type: 'always', retries: 0 } });
    const { id: always } = await bench.engine.create(kept);
    const { id: never } = await bench.created(serve);
    const { id: stopped } = await bench.created(serve, { restart: { type: 'always', retries: 0 } });
    for (const id of [always, never, stopped]) await bench.engine.start(id);
    await bench.engine.stop(stopped, { graceMs: 0 });
    const events = bench.engine.events({ signal: AbortSignal.timeout(60_000) })[Symbol.asyncIterator]();
    await events.next();
    await bench.engine.suspend(never);
    const cursor = (await events.next()).value?.cursor ?? '';
    await bench.engine.resume(never);
    await events.next();
    const waiting = bench.engine.wait(never);
    const broken = refused(events.next(), 'unavailable');
    const lost = refused(waiting, 'unavailable');
    await dockerd.stop('SIGKILL');
    await broken;
    await lost;
    await refused(bench.engine.list(), 'unavailable');

    await dockerd.start();
    expect(await bench.engine.inspect(never)).toMatchObject({ state: 'exited', pid: 0 });
    expect(await bench.engine.inspect(stopped)).toMatchObject({ state: 'exited' });
    await retry(async () => expect(await bench.engine.inspect(always)).toMatchObject({ state: 'running' }), {
      attempts: 50,
      maxMs: 200,
    });
    expect((await bench.engine.create(kept)).id).toBe(always);
    expect(await bench.engine.list({ labels: { suite: 'contract' } })).toHaveLength(3);
    const resumed = bench.engine.events({ after: cursor, signal: AbortSignal.timeout(60_000) });
    await refused(resumed[Symbol.asyncIterator]().next(), 'compacted');
  });

  it('is reached by TLS, and only by who shows a certificate of its authority', async () => {
    const { ca, client, stranger } = pems!;
    const endpoint = `tcp://${dockerd.machine.address}:2376`;
    const engine = connectDocker(endpoint, { certificates: { ca: ca.cert, ...client } });
    const { id } = await bench.created(serve);
    await engine.start(id);
    const far = new Bench(engine, bench.traits);
    const session = await far.exec(id, ['sh', '-c', 'cat; exit 3'], { stdin: true });
    await session.write(Buffer.from('by TLS'));
    await session.closeStdin();
    expect(await said(session)).toMatchObject({ stdout: 'by TLS', code: 3 });
    await engine.close();
    for (const certificates of [
      { ca: ca.cert, ...stranger },
      { ca: stranger.cert, ...client },
    ]) {
      const refusedEngine = connectDocker(endpoint, { certificates });
      await refused(refusedEngine.ping(), 'unavailable');
      await refusedEngine.close();
    }
  });

  it('is reached through the ssh program', async () => {
    const folder = path.join(dockerd.machine.folder, 'bin');
    await mkdir(folder, { recursive: true });
    // In place of a machine: what ssh would run there, run here.
    const script =
      '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\n[ "$2" = far ] || { echo no route >&2; exit 255; }\nshift 2\nexec "$@"\n';
    await writeFile(path.join(folder, 'ssh'), script);
    await chmod(path.join(folder, 'ssh'), 0o755);
    process.env['PATH'] = `${folder}:${before}`;
    const engine = connectDocker(`ssh://root@far:2222${dockerd.socket}`);
    const { id } = await bench.created(serve);
    await engine.start(id);
    const far = new Bench(engine, bench.traits);
    const session = await far.exec(id, ['sh', '-c', 'cat; exit 3'], { stdin: true });
    await session.write(Buffer.from('over ssh'));
    await session.closeStdin();
    expect(await said(session)).toMatchObject({ stdout: 'over ssh', code: 3 });
    // Of another machine's processes only the container itself can end one.
    const stubborn = await far.exec(id, ['sh', '-c', "trap '' TERM; while :; do sleep 1; done"]);
    await stubborn.close();
    expect(await stubborn.exit).toBe(137);
    await engine.close();
    const nowhere = connectDocker('ssh://nowhere');
    await expect(nowhere.ping()).rejects.toMatchObject({ code: 'unavailable', message: /no route/ });
    await nowhere.close();
  });
});
