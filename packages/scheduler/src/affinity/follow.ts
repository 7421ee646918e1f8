import type { Candidates, Follower } from '../kind.ts';
import type { Labels } from '../model.ts';
import { eachInSteps, type Steps } from '../steps.ts';
import type { AffinityCensus, KinPresence } from './census.ts';
import { Company } from './company.ts';
import { Apart, Exclusively, KeptOut, Spread, Together, type Constraint } from './constraints.ts';
import { AffinityFollower } from './follower.ts';
import { alike, describeSelector, holds, selects } from './labels.ts';
import { Levels, type Counts } from './levels.ts';
import { Evenness, Liking, type Preference } from './preferences.ts';
import { node, type AffinityRequest, type WorkloadTerm } from './request.ts';
import type { Topology } from './topology.ts';

/** What a request wants of other nodes and workloads, and what these want of it; `undefined` when that is nothing. */
export function* follow(
  census: AffinityCensus,
  request: AffinityRequest,
  candidates: Candidates,
): Steps<Follower | undefined> {
  yield* census.index(topologiesOf(census, request));
  // What the request itself says is the better reason to be told.
  const constraints = [...(yield* required(census, request, candidates)), ...(yield* keptOut(census, request))];
  const preferences = yield* preferred(census, request, candidates);
  const likedLabels = request.nodeLabels.filter(({ weight }) => weight > 0);
  if (constraints.length + preferences.length + likedLabels.length === 0) return undefined;
  const nodePoints = (slot: number): number => {
    let points = 0;
    for (const term of likedLabels) if (holds(term, census.labels(slot))) points += term.weight;
    return points;
  };
  return new AffinityFollower(candidates.slots, constraints, preferences, nodePoints);
}

function topologiesOf(
  census: AffinityCensus,
  { affinity, antiAffinity, spread, labels }: AffinityRequest,
): Set<string> {
  const theirs = [...census.guards()].flatMap((guard) =>
    guard.antiAffinity.filter((term) => selects(term.labels, labels)),
  );
  return new Set([...affinity, ...antiAffinity, ...spread, ...theirs].map(({ topology }) => topology));
}

/** Of those who are there: required anti-affinity and exclusiveness hold in both directions. */
function* keptOut(census: AffinityCensus, { labels }: AffinityRequest): Steps<Constraint[]> {
  const closed = new Map<string, Set<number>>();
  const close = function* (name: string, slots: Iterable<number>): Steps<void> {
    const topology = census.topology(name);
    const domains = closed.get(name) ?? new Set();
    yield* eachInSteps(slots, (slot) => domains.add(topology.domain(slot)));
    domains.delete(-1);
    closed.set(name, domains);
  };
  for (const { antiAffinity, exclusive, labels: theirs, on } of census.guards()) {
    for (const term of antiAffinity) if (selects(term.labels, labels)) yield* close(term.topology, on.keys());
    if (exclusive === 'alone' || (exclusive === 'alike' && !alike(theirs, labels))) yield* close(node, on.keys());
  }
  // Sorted: which of several reasons is told must not depend on who came first.
  return [...closed]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, domains]) => new KeptOut(census.topology(name), domains));
}

function* required(census: AffinityCensus, request: AffinityRequest, candidates: Candidates): Steps<Constraint[]> {
  const { labels, exclusive } = request;
  const constraints: Constraint[] = [];
  for (const term of request.antiAffinity.filter(isRequired))
    constraints.push(new Apart(yield* meant(census, term, labels)));
  for (const term of request.affinity.filter(isRequired))
    constraints.push(new Together(yield* meant(census, term, labels)));
  for (const { topology: name, maxSkew } of request.spread.filter(isRequired)) {
    const topology = census.topology(name);
    constraints.push(new Spread(topology, yield* levels(census, topology, request, candidates), maxSkew));
  }
  if (exclusive === 'no') return constraints;
  const stranger = (slot: number): boolean =>
    census.kinsOn(slot).some((kin) => exclusive === 'alone' || !alike(kin.labels, labels));
  return [...constraints, new Exclusively(census.topology(node), stranger, exclusive === 'alone')];
}

function* preferred(census: AffinityCensus, request: AffinityRequest, candidates: Candidates): Steps<Preference[]> {
  const { labels } = request;
  const preferences: Preference[] = [];
  for (const term of request.affinity.filter(isPreferred))
    preferences.push(new Liking(yield* meant(census, term, labels), term.weight));
  for (const term of request.antiAffinity.filter(isPreferred))
    preferences.push(new Liking(yield* meant(census, term, labels), -term.weight));
  for (const { topology: name, maxSkew, weight } of request.spread.filter(isPreferred)) {
    const topology = census.topology(name);
    preferences.push(new Evenness(topology, yield* levels(census, topology, request, candidates), maxSkew, weight));
  }
  return preferences;
}

function isRequired({ weight }: { readonly weight: number }): boolean {
  return weight === 0;
}

function isPreferred({ weight }: { readonly weight: number }): boolean {
  return weight > 0;
}

/** The domains in which candidates are, and how many of the workload's like are in each. */
function* levels(
  census: AffinityCensus,
  topology: Topology,
  { labels, nodeLabels }: AffinityRequest,
  { slots }: Candidates,
): Steps<Levels> {
  const needed = nodeLabels.filter(isRequired);
  const domains = new Set<number>();
  yield* eachInSteps(slots, (slot) => {
    if (needed.every((term) => holds(term, census.labels(slot)))) domains.add(topology.domain(slot));
  });
  domains.delete(-1);
  return new Levels(domains, yield* countsOf(census, topology, (theirs) => alike(theirs, labels)));
}

function* meant(census: AffinityCensus, term: WorkloadTerm, labels: Labels): Steps<Company> {
  const topology = census.topology(term.topology);
  const counts = yield* countsOf(census, topology, (theirs) => selects(term.labels, theirs));
  return new Company(topology, describeSelector(term.labels), selects(term.labels, labels), counts.keys());
}

/** Workloads of the whole fleet: those on nodes that cannot be chosen now are in the same zone all the same. */
function* countsOf(census: AffinityCensus, topology: Topology, isMeant: (labels: Labels) => boolean): Steps<Counts> {
  const kins: KinPresence[] = [];
  yield* eachInSteps(census.kins(), (kin) => {
    if (isMeant(kin.labels)) kins.push(kin);
  });
  const counts: Counts = new Map();
  yield* eachInSteps(presences(kins), ([slot, count]) => {
    const domain = topology.domain(slot);
    if (domain >= 0) counts.set(domain, (counts.get(domain) ?? 0) + count);
  });
  return counts;
}

function* presences(kins: readonly KinPresence[]): Iterable<readonly [slot: number, count: number]> {
  for (const { on } of kins) yield* on;
}
