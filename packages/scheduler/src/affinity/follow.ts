import type { Candidates, Follower } from '../kind.ts';
import type { Labels } from '../model.ts';
import type { AffinityCensus, Topology } from './census.ts';
import { Company } from './company.ts';
import { Apart, Exclusively, KeptOut, Spread, Together, type Constraint } from './constraints.ts';
import { AffinityFollower } from './follower.ts';
import { alike, describeSelector, holds, selects } from './labels.ts';
import { Levels, type Counts } from './levels.ts';
import { Evenness, Liking, type Preference } from './preferences.ts';
import { node, type AffinityRequest, type WorkloadTerm } from './request.ts';

/** What a request wants of other nodes and workloads, and what these want of it; `undefined` when that is nothing. */
export function follow(census: AffinityCensus, request: AffinityRequest, candidates: Candidates): Follower | undefined {
  // What the request itself says is the better reason to be told.
  const constraints = [...required(census, request, candidates), ...keptOut(census, request)];
  const preferences = preferred(census, request, candidates);
  const likedLabels = request.nodeLabels.filter(({ weight }) => weight > 0);
  if (constraints.length + preferences.length + likedLabels.length === 0) return undefined;
  const nodePoints = (slot: number): number => {
    let points = 0;
    for (const term of likedLabels) if (holds(term, census.labels(slot))) points += term.weight;
    return points;
  };
  return new AffinityFollower(candidates.slots, constraints, preferences, nodePoints);
}

/** Of those who are there: required anti-affinity and exclusiveness hold in both directions. */
function keptOut(census: AffinityCensus, { labels }: AffinityRequest): Constraint[] {
  const closed = new Map<string, Set<number>>();
  const close = (name: string, slots: Iterable<number>): void => {
    const topology = census.topology(name);
    const domains = closed.get(name) ?? new Set();
    for (const slot of slots) domains.add(topology.domain(slot));
    domains.delete(-1);
    closed.set(name, domains);
  };
  for (const { antiAffinity, exclusive, labels: theirs, on } of census.guards()) {
    for (const term of antiAffinity) if (selects(term.labels, labels)) close(term.topology, on.keys());
    if (exclusive === 'alone' || (exclusive === 'alike' && !alike(theirs, labels))) close(node, on.keys());
  }
  // Sorted: which of several reasons is told must not depend on who came first.
  return [...closed]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, domains]) => new KeptOut(census.topology(name), domains));
}

function required(census: AffinityCensus, request: AffinityRequest, candidates: Candidates): Constraint[] {
  const { labels, exclusive } = request;
  const stranger = (slot: number): boolean =>
    census.kinsOn(slot).some((kin) => exclusive === 'alone' || !alike(kin.labels, labels));
  return [
    ...request.antiAffinity.filter(isRequired).map((term) => new Apart(meant(census, term, labels))),
    ...request.affinity.filter(isRequired).map((term) => new Together(meant(census, term, labels))),
    ...request.spread.filter(isRequired).map(({ topology: name, maxSkew }) => {
      const topology = census.topology(name);
      return new Spread(topology, levels(census, topology, request, candidates), maxSkew);
    }),
    ...(exclusive === 'no' ? [] : [new Exclusively(census.topology(node), stranger, exclusive === 'alone')]),
  ];
}

function preferred(census: AffinityCensus, request: AffinityRequest, candidates: Candidates): Preference[] {
  const liking = (term: WorkloadTerm, sign: 1 | -1): Preference =>
    new Liking(meant(census, term, request.labels), sign * term.weight);
  return [
    ...request.affinity.filter(isPreferred).map((term) => liking(term, 1)),
    ...request.antiAffinity.filter(isPreferred).map((term) => liking(term, -1)),
    ...request.spread.filter(isPreferred).map(({ topology: name, maxSkew, weight }) => {
      const topology = census.topology(name);
      return new Evenness(topology, levels(census, topology, request, candidates), maxSkew, weight);
    }),
  ];
}

function isRequired({ weight }: { readonly weight: number }): boolean {
  return weight === 0;
}

function isPreferred({ weight }: { readonly weight: number }): boolean {
  return weight > 0;
}

/** The domains in which candidates are, and how many of the workload's like are in each. */
function levels(
  census: AffinityCensus,
  topology: Topology,
  { labels, nodeLabels }: AffinityRequest,
  { slots }: Candidates,
): Levels {
  const needed = nodeLabels.filter(isRequired);
  const domains = new Set<number>();
  for (const slot of slots) {
    if (needed.every((term) => holds(term, census.labels(slot)))) domains.add(topology.domain(slot));
  }
  domains.delete(-1);
  return new Levels(
    domains,
    countsOf(census, topology, (theirs) => alike(theirs, labels)),
  );
}

function meant(census: AffinityCensus, term: WorkloadTerm, labels: Labels): Company {
  const topology = census.topology(term.topology);
  const counts = countsOf(census, topology, (theirs) => selects(term.labels, theirs));
  return new Company(topology, describeSelector(term.labels), selects(term.labels, labels), counts.keys());
}

/** Workloads of the whole fleet: those on nodes that cannot be chosen now are in the same zone all the same. */
function countsOf(census: AffinityCensus, topology: Topology, isMeant: (labels: Labels) => boolean): Counts {
  const counts: Counts = new Map();
  for (const { labels, on } of census.kins()) {
    if (!isMeant(labels)) continue;
    for (const [slot, count] of on) {
      const domain = topology.domain(slot);
      if (domain >= 0) counts.set(domain, (counts.get(domain) ?? 0) + count);
    }
  }
  return counts;
}
