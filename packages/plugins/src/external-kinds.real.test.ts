import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakePlugins } from './fakes.suite.ts';

const seats = (count: number): { a: { seats: number }; b: { seats: number } } => ({
  a: { seats: count },
  b: { seats: count },
});

let fakes: FakePlugins;
beforeEach(async () => {
  fakes = await FakePlugins.create('a', 'b');
  for (const name of ['a', 'b']) await fakes.setUsed(name, 2);
});
afterEach(() => fakes.close());

const usage = async (): Promise<string[]> => Promise.all(['a', 'b'].map((name) => fakes.used(name)));

describe('a booking', () => {
  test('is made by all kinds, and given back', async () => {
    const kinds = await fakes.open();
    await kinds.book('n1', [seats(1), seats(3)], 'add');
    expect(await usage()).toEqual(['6', '6']);
    await kinds.book('n1', [seats(4)], 'subtract');
    expect(await usage()).toEqual(['2', '2']);
    expect((await fakes.calls('a'))[0]).toBe(
      'set-node-resource-usage {"nodename":"n1","workloads_resource":[{"seats":1},{"seats":3}],"resource":null,"resource_request":null,"delta":true,"incr":true}',
    );
  });

  test.each(['hang', 'crash', 'garbage', 'refuse', 'odd', 'after-hang', 'after-crash', 'after-garbage', 'after-odd'])(
    'of which one kind fails (%s) leaves nothing in any kind',
    async (fault) => {
      const kinds = await fakes.open(fault.includes('hang') ? { callTimeoutMs: 1500 } : {});
      await fakes.fail('b', 'set-node-resource-usage', fault);
      const booking = kinds.book('n1', [seats(5)], 'add', [seats(2)]);
      await expect(booking).rejects.toMatchObject({ details: { plugin: 'b', command: 'set-node-resource-usage' } });
      await expect(booking).rejects.not.toHaveProperty('details.unsure');
      expect(await usage()).toEqual(['2', '2']);
    },
  );

  test.each(['crash', 'after-crash', 'odd'])('whose undoing fails too (%s) leaves nothing either', async (fault) => {
    const kinds = await fakes.open();
    await fakes.fail('a', 'set-node-resource-usage', fault, '"incr":false');
    await fakes.fail('b', 'set-node-resource-usage', 'refuse');
    await expect(kinds.book('n1', [seats(5)], 'add', [seats(2)])).rejects.toMatchObject({ code: 'no_capacity' });
    expect(await usage()).toEqual(['2', '2']);
  });

  test('says which kind needs a fix when it cannot tell what the workloads hold', async () => {
    const kinds = await fakes.open();
    await fakes.fail('b', 'set-node-resource-usage', 'after-crash');
    await expect(kinds.book('n1', [seats(5)], 'add')).rejects.toMatchObject({ details: { unsure: ['b'] } });
    expect(await usage()).toEqual(['2', '7']);
    expect(await kinds.fix('n1', [seats(2)])).toEqual({
      capacity: seats(10),
      usage: seats(2),
      differences: ['2 != 2', '7 != 2'],
    });
    expect(await usage()).toEqual(['2', '2']);
  });

  test('of which all kinds fail tells all, and is the first', async () => {
    const kinds = await fakes.open();
    await fakes.fail('a', 'set-node-resource-usage', 'refuse');
    await fakes.fail('b', 'set-node-resource-usage', 'odd');
    await expect(kinds.book('n1', [seats(5)], 'add', [seats(2)])).rejects.toMatchObject({
      code: 'no_capacity',
      message:
        'plugin a, set-node-resource-usage: cannot alloc a plan, not enough resource; plugin b, set-node-resource-usage: the licence server is down',
    });
    expect(await usage()).toEqual(['2', '2']);
  });
});

describe('a node', () => {
  test.each(['hang', 'crash', 'after-crash', 'after-garbage', 'odd'])(
    'that one kind cannot add (%s) is in none',
    async (fault) => {
      for (const name of ['a', 'b']) await fakes.plugin(name).removeNode('n1');
      const kinds = await fakes.open(fault.includes('hang') ? { callTimeoutMs: 1500 } : {});
      await fakes.fail('b', 'add-node', fault);
      await expect(kinds.addNode('n1', undefined, undefined)).rejects.toMatchObject({ details: { plugin: 'b' } });
      expect(await usage()).toEqual(['none', 'none']);
    },
  );

  test('is added with what its machine has', async () => {
    const kinds = await fakes.open();
    const machine = { cpus: 2, memory: 2 ** 40, storage: 0, resources: { a: { seats: 4 } } };
    expect(await kinds.addNode('n1', { b: { seats: 7 } }, machine)).toEqual({ capacity: seats(10), usage: seats(0) });
    const info = `{"Type":"eru","ID":"n1","NCPU":2,"MemTotal":1099511627776,"StorageTotal":0,"Resources":{"a":"eyJzZWF0cyI6NH0="}}`;
    expect((await fakes.calls('a')).at(-1)).toBe(`add-node {"nodename":"n1","resource":null,"info":${info}}`);
    expect((await fakes.calls('b')).at(-1)).toBe(`add-node {"nodename":"n1","resource":{"seats":7},"info":${info}}`);
  });

  test.each(['crash', 'after-crash', 'odd'])('that one kind cannot remove (%s) is in all as before', async (fault) => {
    const kinds = await fakes.open();
    await fakes.fail('a', 'remove-node', fault);
    await expect(kinds.removeNode('n1')).rejects.toMatchObject({ details: { plugin: 'a' } });
    expect(await usage()).toEqual(['2', '2']);
  });

  test.each(['crash', 'after-crash', 'odd'])('whose capacity one kind cannot set (%s) keeps it', async (fault) => {
    const kinds = await fakes.open();
    await kinds.setCapacity('n1', seats(20), { delta: false });
    expect(await Promise.all(['a', 'b'].map((name) => fakes.capacity(name)))).toEqual(['20', '20']);
    await fakes.fail('b', 'set-node-resource-capacity', fault);
    await expect(kinds.setCapacity('n1', seats(30), { delta: false })).rejects.toMatchObject({
      details: { plugin: 'b' },
    });
    expect(await fakes.capacity('a')).toBe('20');
  });

  test('keeps the capacities that are not mentioned', async () => {
    const kinds = await fakes.open();
    expect(await kinds.setCapacity('n1', { b: { seats: 5 } }, { delta: false })).toEqual({ b: { seats: 5 } });
    expect(await Promise.all(['a', 'b'].map((name) => fakes.capacity(name)))).toEqual(['10', '5']);
  });

  test('is adopted by a plugin that does not know it', async () => {
    await fakes.add(
      'c',
      '#!/bin/sh\necho "$1 $(cat)" >>../c.calls\ncase "$1" in get-*) echo "bad \\`Count\\` value, entity count invalid" >&2; exit 128;; esac\n',
    );
    await (await fakes.open()).adopt('n1', undefined, [{ ...seats(2), c: { seats: 9 } }]);
    expect(await fakes.calls('c')).toEqual([
      'get-node-resource-info {"nodename":"n1","workloads_resource":null}',
      'add-node {"nodename":"n1","resource":null,"info":null}',
      'fix-node-resource {"nodename":"n1","workloads_resource":[{"seats":9}]}',
    ]);
    expect(await fakes.calls('a')).toHaveLength(1);
  });
});

describe('questions', () => {
  test('are put to all kinds and answered as data for the scheduler', async () => {
    const kinds = await fakes.open();
    const room = { count: 3, usage: 0.5, rate: 0.1, weight: 1 };
    const asked = await kinds.ask(['n1', 'n2'], { a: { seats: 1 } });
    expect(asked).toEqual({ a: { capacities: new Map([['n1', room]]) }, b: { capacities: new Map([['n1', room]]) } });
    expect(await fakes.calls('a')).toEqual([
      'get-nodes-deploy-capacity {"nodenames":["n1","n2"],"workload_resource":{"seats":1}}',
    ]);
    expect(await fakes.calls('b')).toEqual([
      'get-nodes-deploy-capacity {"nodenames":["n1","n2"],"workload_resource":null}',
    ]);
    const instance = { node: 'n1', resources: { cpumem: {} }, engineParams: { cpumem: {} } };
    expect(await kinds.allot([instance], {})).toEqual([
      {
        node: 'n1',
        resources: { cpumem: {}, ...seats(1) },
        engineParams: { cpumem: {}, a: { seat: 'a' }, b: { seat: 'a' } },
      },
    ]);
    const { asked: reallocated, delta } = await kinds.realloc('n1', seats(1), seats(1));
    expect(reallocated['a']).toEqual({ realloc: { resources: { seats: 2 }, engineParams: { seat: 'b' } } });
    expect(delta).toEqual(seats(1));
    expect((await kinds.remap('n1', new Map([['w1', seats(1)]])))['b']).toEqual({
      remap: new Map([['w1', { seat: 'c' }]]),
    });
    expect(await kinds.mostIdle(['n1'])).toEqual({ node: 'n1', priority: 7 });
    expect(await kinds.metricDescriptions()).toHaveLength(2);
    expect(await kinds.metrics('p', 'n1')).toHaveLength(2);
  });

  test('of information go to the whitelist only', async () => {
    const kinds = await fakes.open({ whitelist: ['b'] });
    expect(await kinds.info('n1', [seats(2)])).toEqual({
      capacity: { b: { seats: 10 } },
      usage: { b: { seats: 2 } },
      differences: [],
    });
    expect(Object.keys(await kinds.ask(['n1'], {}))).toEqual(['a', 'b']);
  });

  test('end with their caller', async () => {
    const kinds = await fakes.open();
    await fakes.fail('b', 'get-nodes-deploy-capacity', 'hang');
    const caller = new AbortController();
    const asking = kinds.ask(['n1'], {}, caller.signal);
    caller.abort();
    await expect(asking).rejects.toMatchObject({ code: 'canceled' });
  });

  test('are bounded in number', async () => {
    const alone = '#!/bin/sh\nmkdir ../alone || exit 1\ncat >/dev/null\nrmdir ../alone\n';
    for (const name of ['a', 'b']) await fakes.add(name, alone);
    const kinds = await fakes.open({ processes: 1 });
    await Promise.all([1, 2, 3, 4].map(() => kinds.ask(['n1'], {})));
  });
});
