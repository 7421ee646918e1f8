import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { retry } from '@eru/kit';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { patience } from './apart.ts';
import { identity, traces, type Listed, type Traces } from './eru.ts';
import { Machines, type Machine } from './machines-apart.ts';
import { describeAsRoot } from './parts.ts';

const spec = `
appname: far
pod: default
entry: web
count: 2
cpu: 0.1
memory: 32M
deploy_strategy: EACH
entrypoints:
  web:
    commands: ['sh', '-c', 'echo I am $ERU_NODE_NAME; exec sleep 1000']
`;

interface NodeShown {
  name: string;
  available: boolean;
}

describeAsRoot(['runc', 'ip'], 'machines that join over the network', () => {
  let before: Traces;
  let machines: Machines;
  let core: Machine;
  let first: Machine;
  let second: Machine;
  const tokens: Record<string, string> = {};
  let listed: Listed[] = [];

  const ps = async (): Promise<Listed[]> => JSON.parse(await core.ok(['ps', '-o', 'json'])) as Listed[];
  const nodes = async (): Promise<Record<string, boolean>> => {
    const all = JSON.parse(await core.ok(['node', 'ls', '-o', 'json'])) as NodeShown[];
    return Object.fromEntries(all.map(({ name, available }) => [name, available]));
  };
  const token = async (...words: string[]): Promise<string> => (await core.ok(['node', 'token', ...words])).trim();
  const startCore = (): void => core.start('core', '--listen', '0.0.0.0:5001');
  const served = (): Promise<unknown> => retry(() => core.ok(['core', 'info']), patience);
  const allAvailable = (): Promise<unknown> =>
    retry(async () => expect(await nodes()).toEqual({ far1: true, far2: true }), patience);

  beforeAll(async () => {
    before = await traces();
    machines = await Machines.create(['far1', 'far2']);
    [core, first, second] = [machines.core, ...machines.nodes] as [Machine, Machine, Machine];
    for (const { data } of [core, first, second]) await mkdir(data, { recursive: true });
    startCore();
    await served();
    await core.ok(['pod', 'add', 'default']);
  });
  afterAll(() => machines.close());

  it.each([
    ['a token that is none', () => ['--join', 'eru_join_x', machines.coreAt(first)], 2, 'that is no token'],
    ['a wrong secret', () => ['--join', wrongSecret(), machines.coreAt(first)], 5, 'the token is not known'],
    ['the token of another cluster', () => ['--join', foreign(), machines.coreAt(first)], 5, 'is not of the cluster'],
    ['no address', () => ['--join', tokens['far1'] ?? ''], 2, 'CORE: missing'],
    ['a core that is not there', () => ['--join', tokens['far1'] ?? '', '10.77.1.1:5999'], 5, 'ECONNREFUSED'],
    [
      'an address at which core cannot reach it',
      () => ['--join', tokens['far1'] ?? '', machines.coreAt(first), '--advertise', '10.77.1.2:5999'],
      1,
      'core cannot reach the node daemon at 10.77.1.2:5999',
    ],
  ])('%s is refused, and nothing is left', { timeout: 60_000 }, async (_what, words, code, text) => {
    tokens['far1'] ??= await token('far1');
    const result = await first.run(['runtime', ...words()]);
    expect(result.stderr).toContain(text);
    expect(result.code).toBe(code);
    expect(await nodes()).toEqual({});
    await expect(stat(path.join(first.data, 'node.json'))).rejects.toThrow('ENOENT');
  });
  const wrongSecret = (): string =>
    (tokens['far1'] ?? '').replace(/^eru_join_./, (start) =>
      `${start.slice(0, -1)}z`.replace('z', start.endsWith('0') ? '1' : '0'),
    );
  const foreign = (): string => (tokens['far1'] ?? '').replace(/_[0-9a-f]{64}$/, `_${'0'.repeat(64)}`);

  it('two machines join with a token each, and need nothing else', async () => {
    tokens['far2'] = await token('far2', '--ttl', '10m');
    for (const machine of [first, second]) {
      machine.start('runtime', '--join', tokens[machine.name] ?? '', machines.coreAt(machine));
      await retry(async () => expect(await nodes()).toHaveProperty(machine.name), patience);
      machine.start('agent', '--heartbeat', '5');
    }
    await allAvailable();
    expect((await stat(path.join(first.data, 'node.json'))).mode & 0o777).toBe(0o600);
  });

  it('a used token and a name that is taken are refused', async () => {
    const used = await second.run(['agent', '--join', tokens['far1'] ?? '', machines.coreAt(second)]);
    expect(used).toMatchObject({ code: 5, stderr: expect.stringContaining('was used by another machine') as string });
    const taken = await core.run(['node', 'token', 'far1']);
    expect(taken).toMatchObject({ code: 1, stderr: expect.stringContaining('node far1 exists') as string });
  });

  it('workloads run on both, with exec and logs over the network', async () => {
    const file = path.join(core.data, 'far.yaml');
    await writeFile(file, spec);
    await core.ok(['deploy', file, '--wait']);
    listed = await ps();
    expect(listed.map(({ node }) => node).toSorted()).toEqual(['far1', 'far1', 'far2', 'far2']);
    for (const { id, node } of listed) {
      expect(await core.ok(['exec', id, 'sh', '-c', 'echo $ERU_NODE_NAME'])).toBe(`${node}\n`);
      expect(await core.ok(['logs', id])).toContain(`I am ${node}`);
    }
  });

  it('no secret is in the store as it is shown, nor in a log', async () => {
    const shown = [await core.ok(['store', 'dump']), await core.log('core'), await first.log('runtime')].join('\n');
    expect(shown).toContain('"authority"');
    expect(shown).not.toContain('PRIVATE KEY');
    for (const one of Object.values(tokens)) expect(shown).not.toContain(one.split('_')[2]);
  });

  it.each(['runtime', 'agent', 'core'])(
    'kill -9 of every %s, and a start without a token: all is as before',
    async (part) => {
      if (part === 'core') {
        await core.kill('core');
        startCore();
        await served();
      } else {
        for (const machine of [first, second]) await machine.kill(part);
        for (const machine of [first, second]) machine.start(part, ...(part === 'agent' ? ['--heartbeat', '5'] : []));
      }
      await allAvailable();
      await retry(async () => expect(identity(await ps())).toEqual(identity(listed)), patience);
      for (const { id } of listed)
        await retry(async () => expect(await core.ok(['exec', id, 'echo', 'here'])).toBe('here\n'), patience);
    },
  );

  it('with its certificate a machine may do what its agent needs, and nothing else', async () => {
    const asNode = await shown(second);
    const result = await second.run([...asNode, 'node', 'ls']);
    expect(result.stderr).toContain('ListPodNodes needs the role read; node far2 has node');
  });

  it('a removed node is dead at once: its certificate is refused, while the other one goes on', async () => {
    const ids = listed.filter(({ node }) => node === 'far2').map(({ id }) => id);
    await core.ok(['rm', '--force', ...ids]);
    await core.ok(['node', 'rm', 'far2']);
    const result = await second.run([...(await shown(second)), 'node', 'ls']);
    expect(result).toMatchObject({ code: 5, stderr: expect.stringContaining('node far2 was removed') as string });
    await retry(async () => expect(await second.log('agent')).toContain('the certificate is dead'), patience);
    expect(await nodes()).toEqual({ far1: true });
  });

  it('the machine joins again, with a new token and under a new name', async () => {
    await second.stop();
    const fresh = await token('far3');
    second.start('runtime', '--join', fresh, machines.coreAt(second));
    await retry(async () => expect(await nodes()).toHaveProperty('far3'), patience);
    second.start('agent', '--heartbeat', '5');
    await retry(async () => expect(await nodes()).toEqual({ far1: true, far3: true }), patience);
    await core.ok(['node', 'rm', 'far3']);
  });

  it('all removed: no process, cgroup, mount or name space is left', async () => {
    await core.ok(['rm', '--force', ...(await ps()).map(({ id }) => id)]);
    await core.ok(['node', 'rm', 'far1']);
    const keys = (await core.ok(['store', 'dump']))
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { key: string }).key);
    expect(keys.filter((key) => !/^(cluster|cores\/.*|pods\/default|authority)$/.test(key))).toEqual([]);
    await machines.close();
    await retry(async () => expect(await traces()).toEqual(before), patience);
  });

  /** Flags with which a user of this machine shows its certificate. */
  async function shown({ data }: Machine): Promise<string[]> {
    const { cert, key, authority } = JSON.parse(await readFile(path.join(data, 'node.json'), 'utf8')) as Record<
      string,
      string
    >;
    const write = async (name: string, text = ''): Promise<string> => {
      const file = path.join(data, name);
      await writeFile(file, text);
      return file;
    };
    const [ca, own, secret] = [await write('a.pem', authority), await write('c.pem', cert), await write('k.pem', key)];
    const address = machines.coreAt(second);
    return ['--eru', address, '--tls-ca', ca, '--tls-cert', own, '--tls-key', secret];
  }
});
