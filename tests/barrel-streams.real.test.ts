import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';

import { createAuthority, issueCertificate, selfSignedCertificate } from '@eru/contract';
import { run, runOk, type RunResult } from '@eru/kit';
import Dockerode from 'dockerode';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { Barrel } from './barrel.ts';
import { busyboxImage } from './busybox-image.ts';
import { describeAsRoot } from './parts.ts';
import type { PrivateMachine } from './private-machine.ts';

/** Sent through in each direction; by hand 1024. */
const streamedMib = Number(process.env['ERU_TEST_STREAM_MIB'] ?? 128);
/** What the proxy may need of memory for it, above what it had: half of what would pile up if nothing held the sender back. */
const grownMib = 64;
const soon = { timeout: 30_000 };

describeAsRoot(['docker', 'busybox', 'cni', 'ip', 'iptables'], "Docker's clients through eru barrel", () => {
  let barrel: Barrel;
  const docker = (...words: string[]): Promise<string> => barrel.docker(...words);
  const client = (): Dockerode => new Dockerode({ socketPath: barrel.socket });
  const file = (name: string): string => path.join(barrel.host.machine.folder, name);

  beforeAll(async () => {
    barrel = await Barrel.start(async (machine) => [
      '--host',
      'https://0.0.0.0:2376',
      ...(await certificateFlags(machine)),
    ]);
    await docker('run', '-d', '--name', 'box', busyboxImage, 'sleep', 'infinity');
  });
  afterAll(async () => {
    await barrel?.remove();
  });

  it('a client that vanishes, in the middle of whatever, leaves no connection on either side', async () => {
    const open = async (): Promise<number[]> => {
      const { body } = await barrel.own('/metrics');
      return [...body.matchAll(/^eru_barrel_(?:connections|upstreams) (\d+)/gm)].map(([, count]) => Number(count));
    };
    const upload = http.request({
      socketPath: barrel.socket,
      method: 'POST',
      path: '/images/load',
      headers: { 'content-length': 1_000_000 },
    });
    upload.write('half');
    upload.on('error', () => {});
    const host = ['-H', `unix://${barrel.socket}`];
    await docker('run', '-d', '--name', 'clock', busyboxImage, 'sh', '-c', 'while sleep 0.1; do date; done');
    // Of a stream that is silent dockerd notices it with the next output, and so does the proxy.
    const clients = [['events'], ['attach', 'clock'], ['logs', '-f', 'clock'], ['exec', 'box', 'yes']].map((words) =>
      spawn('docker', [...host, ...words], { stdio: ['pipe', 'pipe', 'ignore'] }),
    );
    await once(clients.at(-1)!.stdout, 'data');
    await expect.poll(async () => Math.min(...(await open())), soon).toBeGreaterThan(clients.length);
    for (const one of clients) one.kill('SIGKILL');
    upload.destroy();
    await expect.poll(open, soon).toEqual([0, 0]);
    // It goes on without its client.
    await docker('exec', 'box', 'killall', 'yes');
    await docker('rm', '-f', 'clock');
  });

  it('exec with an input that ends before the output does, and its exit code', async () => {
    const script = 'cat; sleep 0.2; echo after the end; exit 3';
    expect(await barrel.tryDocker(['exec', '-i', 'box', 'sh', '-c', script], { input: 'in\n' })).toMatchObject({
      code: 3,
      stdout: 'in\nafter the end\n',
    });
  });

  it('attach, logs that follow, events, files both ways, build', async () => {
    const events = spawn(
      'docker',
      ['-H', `unix://${barrel.socket}`, 'events', '--since=0', '--filter=container=talk'],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    const script = 'read x; echo "got $x"; echo bad >&2; read y';
    await docker('create', '-i', '--name', 'talk', busyboxImage, 'sh', '-c', script);
    const attached = await barrel.tryDocker(['start', '-ai', 'talk'], { input: 'hello\n' });
    expect(attached).toMatchObject({ stdout: 'got hello\n', stderr: 'bad\n' });
    await docker('run', '-d', '--name', 'slow', busyboxImage, 'sh', '-c', 'echo one; sleep 1; echo two');
    expect(await docker('logs', '-f', 'slow')).toBe('one\ntwo');
    let heard = '';
    for await (const piece of events.stdout) if ((heard += String(piece)).includes('container die')) break;
    events.kill();
    expect(heard).toContain('container start');

    await writeFile(file('sent'), 'a file');
    await docker('cp', file('sent'), 'box:/tmp/there');
    await docker('cp', 'box:/tmp/there', file('back'));
    expect(await readFile(file('back'), 'utf8')).toBe('a file');
    await mkdir(file('context'));
    await writeFile(file('context/Dockerfile'), `FROM ${busyboxImage}\nCOPY Dockerfile /d\nRUN test -s /d\n`);
    await runOk('docker', ['-H', `unix://${barrel.socket}`, 'build', '-q', '-t', 'built:1', file('context')], {
      env: { ...process.env, DOCKER_BUILDKIT: '0' },
      timeoutMs: 60_000,
    });
    expect(await docker('run', '--rm', 'built:1', 'head', '-1', '/d')).toBe(`FROM ${busyboxImage}`);
  });

  it('dockerode: BuildKit, whose session turns a request into HTTP/2 with dockerd as the client', async () => {
    const one = client();
    const options = { t: 'kit:1', version: '2' as const, nocache: true };
    const said = await one.buildImage({ context: file('context'), src: ['Dockerfile'] }, options);
    expect(await text(said)).toContain('moby.image.id');
    expect(await docker('run', '--rm', 'kit:1', 'head', '-1', '/d')).toBe(`FROM ${busyboxImage}`);
  });

  it('dockerode: a terminal that is resized, an input that ends', async () => {
    const exec = await client()
      .getContainer('box')
      .exec({ Cmd: ['sh', '-c', 'read x; stty size'], AttachStdin: true, AttachStdout: true, Tty: true });
    const stream = await exec.start({ hijack: true, stdin: true, Tty: true });
    await exec.resize({ w: 99, h: 33 });
    stream.write('\n');
    expect(await text(stream)).toContain('33 99');
    const plain = await client()
      .getContainer('box')
      .exec({ Cmd: ['sh', '-c', 'wc -c; echo bad >&2'], AttachStdin: true, AttachStdout: true, AttachStderr: true });
    const both = await plain.start({ hijack: true, stdin: true });
    const [out, err] = [new PassThrough(), new PassThrough()];
    client().modem.demuxStream(both, out, err);
    both.once('end', () => [out, err].forEach((one) => one.end()));
    both.end('x'.repeat(100_000));
    expect([await text(out), await text(err)]).toEqual(['100000\n', 'bad\n']);
    expect((await plain.inspect()).ExitCode).toBe(0);
  });

  it(`${streamedMib} MiB each way do not grow it (ERU_TEST_STREAM_MIB)`, async () => {
    const before = await barrel.peakMemory();
    const bytes = streamedMib * 2 ** 20;
    const shell = async (script: string): Promise<string> => {
      const words = ['-c', script, 'sh', `unix://${barrel.socket}`];
      return (await runOk('sh', words, { timeoutMs: 300_000 })).stdout.trim();
    };
    expect(await shell(`head -c ${bytes} /dev/zero | docker -H "$1" exec -i box wc -c`)).toBe(String(bytes));
    expect(await shell(`docker -H "$1" exec box head -c ${bytes} /dev/zero | wc -c`)).toBe(String(bytes));
    // In chunks.
    await docker('exec', 'box', 'sh', '-c', `head -c ${bytes} /dev/zero >/tmp/big`);
    expect(Number(await shell('docker -H "$1" cp box:/tmp/big - | wc -c'))).toBeGreaterThan(bytes);
    const grown = (await barrel.peakMemory()) - before;
    console.log(`${streamedMib} MiB each way: ${before.toFixed()} MiB and ${grown.toFixed()} more`);
    expect(grown).toBeLessThan(grownMib);
    await docker('exec', 'box', 'rm', '/tmp/big');
  });

  it('two hundred at once', async () => {
    const one = client();
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, index) =>
        index % 2 === 0 ? (await one.getContainer('box').inspect()).Name : String(await one.ping()),
      ),
    );
    expect(answers).toEqual(answers.map((_, index) => (index % 2 === 0 ? '/box' : 'OK')));
  });

  it('over TLS for who has a certificate, and nobody else', async () => {
    const host = barrel.host.machine.address;
    const tls = [
      '--tlsverify',
      '--tlscacert',
      file('ca.pem'),
      '--tlscert',
      file('cert.pem'),
      '--tlskey',
      file('key.pem'),
    ];
    const words = ['-H', `tcp://${host}:2376`, ...tls, 'exec', '-i', 'box', 'sh', '-c', 'cat; echo after the end'];
    expect(await run('docker', words, { input: 'in\n' })).toMatchObject({ code: 0, stdout: 'in\nafter the end\n' });
    const ask = async (shown: https.RequestOptions): Promise<string> => {
      const ca = await readFile(file('ca.pem'));
      const request = https.get({ host, port: 2376, path: '/_ping', agent: false, ca, ...shown });
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      return text(response);
    };
    const mine = { cert: await readFile(file('cert.pem')), key: await readFile(file('key.pem')) };
    expect(await ask(mine)).toBe('OK');
    await expect(ask({})).rejects.toThrow(/alert|ECONNRESET|hang up/);
    await expect(ask(await selfSignedCertificate('user'))).rejects.toThrow(/alert|ECONNRESET|hang up/);
  });

  it('before a dockerd that is reached by TCP and TLS', async () => {
    const second = async (...tls: string[]): Promise<RunResult> => {
      const socket = file('second.sock');
      const words = [
        '--dockerd-path',
        `tcp://${barrel.host.machine.address}:2376`,
        ...tls,
        '--host',
        `unix://${socket}`,
      ];
      const proxy = barrel.spawn([...words, '--socket', file('second-own.sock')]);
      await expect.poll(() => existsSync(socket), soon).toBe(true);
      const script = ['exec', '-i', 'box', 'sh', '-c', 'cat; echo after the end'];
      const result = await run('docker', ['-H', `unix://${socket}`, ...script], { input: 'in\n' });
      const exit = once(proxy, 'exit');
      proxy.kill();
      await exit;
      return result;
    };
    const ours = ['--dockerd-cert', file('cert.pem'), '--dockerd-key', file('key.pem')];
    // The first proxy is as good a dockerd as any.
    expect(await second('--dockerd-ca', file('ca.pem'), ...ours)).toMatchObject({
      code: 0,
      stdout: 'in\nafter the end\n',
    });
    const refused = { code: 1, stderr: expect.stringContaining('dockerd cannot be asked') };
    expect(await second('--dockerd-ca', file('ca.pem'))).toMatchObject(refused);
    expect(await second('--dockerd-ca', file('cert.pem'), ...ours)).toMatchObject(refused);
  });
});

/** An authority with a server and a client, as files of the machine. Answers the proxy's flags for them. */
async function certificateFlags({ folder, address }: PrivateMachine): Promise<string[]> {
  const times = { notBeforeMs: Date.now() - 60_000, notAfterMs: Date.now() + 3_600_000 };
  const authority = await createAuthority({ name: 'test', ...times });
  const [server, user] = await Promise.all([
    issueCertificate(authority, { name: 'barrel', usage: 'server', hosts: [address], ...times }),
    issueCertificate(authority, { name: 'user', usage: 'client', ...times }),
  ]);
  const texts = { ca: authority.cert, ...user, server: server.cert, 'server-key': server.key };
  const file = (name: string): string => path.join(folder, `${name}.pem`);
  for (const [name, pem] of Object.entries(texts)) await writeFile(file(name), pem);
  return ['--server-cert', file('server'), '--server-key', file('server-key'), '--client-ca', file('ca')];
}
