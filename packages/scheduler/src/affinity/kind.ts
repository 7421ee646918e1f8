import { stableStringify, type JsonObject } from '@eru/kit';
import type { KindNode, ResourceKind } from '../kind.ts';
import { unlimited, type Labels } from '../model.ts';
import { repeated } from '../repeated.ts';
import { addBookings, formatBooking, formatUsage, readUsage } from './booking.ts';
import { AffinityCensus } from './census.ts';
import { follow } from './follow.ts';
import { describeNodeTerm, holds } from './labels.ts';
import { nodeLabels } from './node.ts';
import { formatRequest, parseRequest, readLabels, requestKeys, type AffinityRequest } from './request.ts';

/**
 * Who may be near whom (docs/affinity.md). It has neither amounts nor machines: what it counts are labels, so that it shows
 * what a resource kind can be. What the node itself must be is a matter of its labels (`measure`); all else depends on other
 * nodes and on the plan so far (`census`).
 */
export function affinity(): ResourceKind<AffinityRequest, Labels> {
  return {
    name: 'affinity',
    requestKeys,

    parse: (raw, _asked, labels) => parseRequest(raw, labels),
    normal: formatRequest,
    state: nodeLabels,
    fingerprint: stableStringify,
    measure(labels, { nodeLabels: terms }, measure) {
      measure.count = terms.some((term) => term.weight === 0 && !holds(term, labels)) ? 0 : unlimited;
      measure.usage = 0;
      measure.rate = 0;
      measure.weight = 0;
    },
    refuse(labels, { nodeLabels: terms }) {
      const broken = terms.find((term) => term.weight === 0 && !holds(term, labels));
      const reason = broken === undefined ? 'node labels' : describeNodeTerm(broken);
      return { reason, needed: 1, free: 0, unit: 'none' };
    },
    allocate(_labels, request, count) {
      return repeated({ resources: formatBooking(request), engineParams: {} }, count);
    },
    census() {
      const census = new AffinityCensus();
      return {
        set: (slot, node) => census.set(slot, node),
        follow: (request, candidates) => follow(census, request, candidates),
      };
    },

    /** A workload that changes in place stays where it is, and what it is. */
    realloc: (_labels, current) => ({ resources: current, engineParams: {} }),
    remap: () => new Map(),

    book(usage, add, subtract) {
      const counts = readUsage(usage);
      addBookings(counts, add, 1);
      addBookings(counts, subtract, -1);
      return formatUsage(counts);
    },
    recount: (_node, workloads) => formatUsage(sumOf(workloads)),
    differences({ usage }, workloads) {
      const [stored, held] = [readUsage(usage), sumOf(workloads)];
      return [...new Set([...stored.keys(), ...held.keys()])]
        .toSorted()
        .map((kin) => ({ kin, has: stored.get(kin) ?? 0, should: held.get(kin) ?? 0 }))
        .filter(({ has, should }) => has !== should)
        .map(({ kin, has, should }) => `node.Affinity[${kin}] != sum(workload.Affinity): ${has} != ${should}`);
    },
    larger: (_old, now) => now,
    overruns: ({ usage }) =>
      [...readUsage(usage)].filter(([, count]) => count < 0).map(([kin, count]) => `${count} workloads of ${kin}`),

    addNode: (request) => setLabels({ capacity: {}, usage: {} }, request['labels']),
    setCapacity: (node, request, delta) =>
      setLabels(delta ? node : { ...node, capacity: {} }, request['labels'] ?? node.capacity['labels']),
    metricDescriptions: [],
    metrics: () => [],
  };
}

function sumOf(workloads: readonly JsonObject[]): Map<string, number> {
  const counts = new Map<string, number>();
  addBookings(counts, workloads, 1);
  return counts;
}

/** Of `eru kind`, which knows nodes by this alone; in a cluster labels belong to the node. */
function setLabels(node: KindNode, labels: Parameters<typeof readLabels>[0] | undefined): KindNode {
  if (labels === undefined) return node;
  return {
    ...node,
    capacity: { labels: { ...(node.capacity['labels'] as Labels | undefined), ...readLabels(labels, 'labels') } },
  };
}
