import { describe, expect, it } from 'vitest';
import {
  bookStorage,
  deployStorage,
  reallocStorage,
  storageCapacity,
  type StorageBooking,
  type StorageNode,
} from './storage.ts';
import { parseBinding, type Binding, type Disk } from './volume-plans.ts';

// The worked examples of reference/scheduling.md sections 4.3 and 4.4.

const node: StorageNode = bookStorage(machine({ '/d1': 100, '/d2': 60, '/d3': 80 }), held({ '/d1': 30 }), 1);

describe('the reference way to lay volumes', () => {
  it('fits best and opens unused volumes one by one (example 1)', () => {
    expect(plans(node, ['AUTO:/x:rw:40'])).toEqual(['/x /d2', '/x /d1', '/x /d3', '/x /d3']);
  });

  it('lays the smaller first (example 2)', () => {
    expect(plans(node, ['AUTO:/x:rw:40', 'AUTO:/y:rw:25'])).toEqual([
      '/y /d2, /x /d1',
      '/y /d1, /x /d3',
      '/y /d2, /x /d3',
    ]);
  });

  it('gives a whole volume to the exclusive ones (example 3)', () => {
    const requests = ['AUTO:/x:rw:40', 'AUTO:/m:rwm:10', 'AUTO:/n:rwm:30'];
    expect(plans(node, requests)).toEqual(['/x /d2, /m /d3, /n /d3']);
    const [booking] = deployStorage(node, requests.map(parseBinding), 1) ?? [];
    expect(sizes(booking)).toEqual({ '/x': 40, '/m': 20, '/n': 60 });
  });

  it('puts what is unlimited where most is left (example 4)', () => {
    const requests = ['AUTO:/x:rw:40', 'AUTO:/u:rw:0'];
    expect(plans(node, requests)).toEqual(['/x /d2, /u /d1', '/x /d1, /u /d1', '/x /d3, /u /d1', '/x /d3, /u /d1']);
  });

  it('looks at the disk below (example 5)', () => {
    const disks: Disk[] = [
      { device: 'sda', mounts: ['/ssd'], io: [500, 500, 0, 0] },
      { device: 'sdb', mounts: ['/hdd'], io: [100, 100, 0, 0] },
    ];
    const fast = machine({ '/ssd': 1000, '/hdd': 1000 }, disks);
    expect(plans(fast, ['AUTO:/x:rw:10:200:50'])).toEqual(['/x /ssd', '/x /ssd']);
    const [booking] = deployStorage(fast, [parseBinding('AUTO:/x:rw:10:200:50')], 1) ?? [];
    const after = bookStorage(fast, booking as StorageBooking, 1);
    expect(storageCapacity(after, [parseBinding('AUTO:/x:rw:10:400:50')]).capacity).toBe(0);
    expect(storageCapacity(after, [parseBinding('AUTO:/x:rw:10:300:50')]).capacity).toBe(1);
  });
});

describe('the reference way to change volumes in place', () => {
  const [x, m] = [parseBinding('AUTO:/x:rw:30'), parseBinding('AUTO:/m:rwm:10')];
  const current: StorageBooking = {
    bindings: [x, m],
    plan: {
      volumes: new Map([
        [x, { path: '/d1', bytes: 30 }],
        [m, { path: '/d2', bytes: 60 }],
      ]),
      io: new Map(),
    },
    volumes: new Map([
      ['/d1', 30],
      ['/d2', 60],
    ]),
    io: new Map(),
  };
  const busy = bookStorage(machine({ '/d1': 100, '/d2': 60, '/d3': 80 }), current, 1);
  const realloc = (...texts: string[]): string | undefined => {
    const next = reallocStorage(busy, current, texts.map(parseBinding));
    return next === undefined ? undefined : `${text(next)} ${JSON.stringify(sizes(next))}`;
  };

  it('keeps each on its volume and places the new ones (example 1)', () => {
    expect(realloc('AUTO:/x:rw:50', 'AUTO:/m:rwm:10', 'AUTO:/z:rw:15')).toBe(
      '/x /d1, /m /d2, /z /d1 {"/x":50,"/m":60,"/z":15}',
    );
  });

  it('divides the exclusive volume anew (example 2)', () => {
    expect(realloc('AUTO:/x:rw:30', 'AUTO:/m:rwm:10', 'AUTO:/n:rwm:20')).toBe(
      '/x /d1, /m /d2, /n /d2 {"/x":30,"/m":20,"/n":40}',
    );
  });

  it('refuses what its volume does not have, and lets go (examples 3 and 4)', () => {
    expect(realloc('AUTO:/x:rw:120', 'AUTO:/m:rwm:10')).toBeUndefined();
    expect(realloc('AUTO:/m:rwm:10')).toBe('/m /d2 {"/m":60}');
  });
});

function machine(volumes: Record<string, number>, disks: readonly Disk[] = []): StorageNode {
  return { volumes: new Map(Object.entries(volumes)), disks, usage: { volumes: new Map(), io: new Map() } };
}

function held(volumes: Record<string, number>): StorageNode['usage'] {
  return { volumes: new Map(Object.entries(volumes)), io: new Map() };
}

function plans(on: StorageNode, requests: readonly string[]): string[] {
  const bindings = requests.map(parseBinding);
  const { capacity } = storageCapacity(on, bindings);
  return (deployStorage(on, bindings, capacity) ?? []).map(text);
}

function text({ plan }: StorageBooking): string {
  return [...plan.volumes].map(([{ destination }, { path }]) => `${destination} ${path}`).join(', ');
}

function sizes(booking: StorageBooking | undefined): Record<string, number> {
  const placed: [Binding, { bytes: number }][] = [...(booking?.plan.volumes ?? [])];
  return Object.fromEntries(placed.map(([{ destination }, { bytes }]) => [destination, bytes]));
}
