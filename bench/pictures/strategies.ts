import { builtinKinds, createScheduler, Fleet, type PlanRequest, type Strategy } from '@eru/scheduler';
import { box, colour, faint, picture, text } from './svg.ts';

const gib = 2 ** 30;

/** Instances that run already, and room for more. */
const nodes = [
  { name: 'a', running: 3, room: 5 },
  { name: 'b', running: 0, room: 2 },
  { name: 'c', running: 1, room: 9 },
  { name: 'd', running: 6, room: 1 },
];

const rows: readonly {
  readonly strategy: Strategy;
  readonly count: number;
  readonly limit: number;
  readonly means: string;
}[] = [
  { strategy: 'AUTO', count: 6, limit: 0, means: '6 new: level the instances of this app' },
  { strategy: 'GLOBAL', count: 6, limit: 0, means: '6 new: level the load of the machines' },
  { strategy: 'DRAINED', count: 6, limit: 0, means: '6 new: fill the smallest room first, keep the rest free' },
  { strategy: 'FILL', count: 4, limit: 3, means: 'up to 4 each, on 3 nodes' },
  { strategy: 'EACH', count: 2, limit: 2, means: '2 new each, on 2 nodes' },
];

/** The same fleet, asked five ways. */
export function strategiesPicture(): string {
  const square = 13;
  const column = 162;
  const drawn = rows.flatMap(({ strategy, count, limit, means }, index) => {
    const top = 30 + index * 62;
    const shares = plan(strategy, count, limit);
    return [
      text(16, top, strategy, { 'font-size': 12, 'font-weight': 'bold' }),
      text(86, top, means, { 'font-size': 12 }),
      ...nodes.flatMap(({ name, running, room }, position) => {
        const left = 16 + position * column;
        const placed = shares.get(name) ?? 0;
        return [
          text(left, top + 24, name, { fill: faint }),
          ...Array.from({ length: running + room }, (_, at) => {
            const fill = at < running ? '#c8d1da' : at < running + placed ? colour(1) : '#fff';
            return box(left + 12 + at * square, top + 14, square - 2, square, { rx: 2, fill, stroke: '#afb8c1' });
          }),
        ];
      }),
    ];
  });
  return picture(16 + column * nodes.length + 16, 30 + rows.length * 62, 'Five strategies on the same four nodes', [
    ...drawn,
    text(16, 22 + rows.length * 62, 'grey: ran before · orange: placed now · white: room that is left', {
      fill: faint,
    }),
  ]);
}

function plan(strategy: Strategy, count: number, nodesLimit: number): Map<string, number> {
  const scheduler = createScheduler({ kinds: builtinKinds() });
  const fleet = new Fleet(scheduler);
  for (const { name, running, room } of nodes) {
    const memory = (running + room) * gib;
    const fresh = scheduler.addNode(undefined, { cpus: 8, memory: 0, storage: 0, resources: {} });
    const whole = scheduler.setCapacity(fresh, { cpumem: { memory } }, { delta: false });
    const held = { cpumem: { cpu_request: 0, cpu_limit: 0, memory_request: running * gib, memory_limit: 0 } };
    fleet.set({ name, labels: {}, resources: scheduler.book(whole, [held], []) });
  }
  const request: PlanRequest = {
    resources: { cpumem: { 'memory-request': gib, 'memory-limit': gib } },
    strategy,
    count,
    nodesLimit,
    candidates: nodes.map(({ name }) => name),
    counts: new Map(nodes.map(({ name, running }) => [name, running])),
  };
  const result = scheduler.plan(fleet, request);
  if (!result.ok) throw new Error(`${strategy}: ${result.message}`);
  const shares = new Map<string, number>();
  for (const { node } of result.instances) shares.set(node, (shares.get(node) ?? 0) + 1);
  return shares;
}
