import type { JsonObject } from '@eru/kit';
import type { PlanRequest, Strategy } from '@eru/scheduler';
import { ourRequest } from '../quality/ours.ts';
import { gib, type Wish } from '../quality/shapes.ts';

export interface Question {
  readonly name: string;
  readonly wish: Wish;
  readonly affinity?: JsonObject;
}

export const questions: readonly Question[] = [
  { name: '0.5 bound', wish: bound(0.5) },
  { name: '1.3 bound', wish: bound(1.3) },
  { name: '2 bound', wish: bound(2) },
  { name: 'unbound', wish: { ...bound(0.5), bind: false } },
  {
    name: '1.3 bound, volumes',
    wish: { ...bound(1.3), volumes: [20, 50].map((size) => `AUTO:/v${size}:rw:${size * gib}`) },
  },
  {
    name: '1.3 bound, affinity',
    wish: bound(1.3),
    // Of a hundred apps, one is here already and one is wanted near.
    affinity: {
      labels: { app: 'a7' },
      'anti-affinity': [{ labels: { app: ['a7'] } }],
      affinity: [{ labels: { app: ['a8'] }, topology: 'rack' }],
      spread: [{ topology: 'zone', 'max-skew': 1000 }],
    },
  },
];

export function planRequest(
  { wish, affinity }: Omit<Question, 'name'>,
  strategy: Strategy,
  count: number,
  candidates: readonly string[],
  counts: ReadonlyMap<string, number> = new Map(),
): PlanRequest {
  const resources = { ...ourRequest(wish), ...(affinity === undefined ? {} : { affinity }) };
  return { resources, strategy, count, nodesLimit: 0, candidates, counts };
}

function bound(cpu: number): Wish {
  return { bind: true, cpu, memory: gib };
}
