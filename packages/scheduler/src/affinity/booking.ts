import { isJsonObject, stableStringify, type Json, type JsonObject } from '@eru/kit';
import type { Labels } from '../model.ts';
import {
  formatWorkloadTerm,
  type AffinityRequest,
  type Exclusive,
  type Selector,
  type WorkloadTerm,
} from './request.ts';

// A workload books its labels and what it does not bear near it, so that every later plan sees both, wherever it is made.
// What is booked on a node is a multiset: `workloads`, equal ones together with their number.

/** Workloads that are the same to everybody else. */
export interface Kin {
  readonly labels: Labels;
  /** Only required terms: what is merely preferred binds nobody else. */
  readonly antiAffinity: readonly WorkloadTerm[];
  readonly exclusive: Exclusive;
}

export function formatBooking({ labels, antiAffinity, exclusive }: AffinityRequest): JsonObject {
  const required = antiAffinity.filter(({ weight }) => weight === 0);
  return {
    labels: { ...labels },
    ...(required.length > 0 && { anti_affinity: required.map(formatWorkloadTerm) }),
    ...(exclusive !== 'no' && { exclusive }),
  };
}

/** Of a booking, or of an entry of a usage. What is not understood is left out: a newer core may have written it. */
export function readKin(stored: JsonObject): Kin {
  const terms = stored['anti_affinity'];
  const { exclusive } = stored;
  return {
    labels: readTexts(stored['labels']),
    antiAffinity: Array.isArray(terms) ? terms.filter(isJsonObject).flatMap(readTerm) : [],
    exclusive: exclusive === 'alone' || exclusive === 'alike' ? exclusive : 'no',
  };
}

function readTerm({ labels, topology }: JsonObject): WorkloadTerm[] {
  if (!isJsonObject(labels) || typeof topology !== 'string') return [];
  const selector = Object.entries(labels).map(([name, values]) => [name, Array.isArray(values) ? values : [values]]);
  return [{ labels: Object.fromEntries(selector) as Selector, topology, weight: 0 }];
}

function readTexts(value: Json | undefined): Labels {
  if (!isJsonObject(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

/** Text of a kin -> how many of it. Entries of a usage are in the form in which `formatUsage` writes them. */
export function readUsage(usage: JsonObject): Map<string, number> {
  const counts = new Map<string, number>();
  const { workloads } = usage;
  if (!Array.isArray(workloads)) return counts;
  for (const entry of workloads) {
    if (!isJsonObject(entry)) continue;
    const { count, ...kin } = entry;
    add(counts, kin, typeof count === 'number' ? count : 1);
  }
  return counts;
}

export function addBookings(counts: Map<string, number>, bookings: readonly JsonObject[], sign: 1 | -1): void {
  for (const booking of bookings) if (Object.keys(booking).length > 0) add(counts, booking, sign);
}

/** Sorted, so that equal usages are equal texts; nothing at all where there are no workloads. */
export function formatUsage(counts: ReadonlyMap<string, number>): JsonObject {
  if (counts.size === 0) return {};
  const entries = [...counts].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return { workloads: entries.map(([text, count]): Json => ({ ...(JSON.parse(text) as JsonObject), count })) };
}

function add(counts: Map<string, number>, kin: JsonObject, amount: number): void {
  const text = stableStringify(kin);
  const count = (counts.get(text) ?? 0) + amount;
  // Fewer than none stays visible: the check of the node finds it.
  if (count === 0) counts.delete(text);
  else counts.set(text, count);
}
