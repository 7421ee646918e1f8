import type { JsonObject } from '@eru/kit';
import type { Labels, PlannedNode } from '../model.ts';

/** An instance that a plan has put somewhere, with its request. */
export interface Placed {
  readonly node: string;
  readonly labels: Labels;
  readonly affinity: Request;
}

interface Request {
  readonly affinity?: readonly Term[];
  readonly 'anti-affinity'?: readonly Term[];
  readonly 'node-labels'?: readonly {
    readonly label: string;
    readonly in?: readonly string[];
    readonly exists?: boolean;
  }[];
  readonly spread?: readonly { readonly topology: string; readonly 'max-skew': number }[];
  readonly exclusive?: string;
}

interface Term {
  readonly labels: { readonly app: readonly string[] };
  readonly topology: string;
}

interface Workload {
  readonly node: PlannedNode;
  readonly labels: Labels;
  readonly antiAffinity: readonly Term[];
  readonly exclusive: string | undefined;
}

/**
 * The rules of docs/affinity.md, written down once more without any index: whether one more instance may be on a node when
 * `placed` are there besides the workloads of the nodes. For requests in which everything is required.
 */
export function permitted(nodes: readonly PlannedNode[], placed: readonly Placed[], next: Placed): boolean {
  const at = (name: string): PlannedNode => nodes.find((node) => node.name === name) as PlannedNode;
  const others: Workload[] = [...nodes.flatMap(existing), ...placed.map((each) => workload(each, at(each.node)))];
  const me = workload(next, at(next.node));

  const together = (a: PlannedNode, b: PlannedNode, topology: string): boolean =>
    domain(a, topology) !== undefined && domain(a, topology) === domain(b, topology);
  const meant = ({ labels }: Term, { labels: theirs }: Workload): boolean =>
    theirs['app'] !== undefined && labels.app.includes(theirs['app']);
  const alike = (a: Workload, b: Workload): boolean => a.labels['app'] === b.labels['app'];
  const bears = (a: Workload, b: Workload): boolean =>
    !a.antiAffinity.some((term) => meant(term, b) && together(a.node, b.node, term.topology)) &&
    (a.node !== b.node || a.exclusive === undefined || (a.exclusive === 'alike' && alike(a, b)));

  const fitsNode = (next.affinity['node-labels'] ?? []).every(
    ({ label, in: values, exists }) =>
      values?.includes(me.node.labels[label] ?? '') ?? (me.node.labels[label] !== undefined) === exists,
  );
  const isBorne = others.every((other) => bears(me, other) && bears(other, me));
  const hasCompany = (next.affinity.affinity ?? []).every((term) => {
    const company = others.filter((other) => meant(term, other) && domain(other.node, term.topology) !== undefined);
    if (company.length === 0) return meant(term, me) && domain(me.node, term.topology) !== undefined;
    return company.some((other) => together(other.node, me.node, term.topology));
  });
  const isEven = (next.affinity.spread ?? []).every(({ topology, 'max-skew': skew }) => {
    const mine = domain(me.node, topology);
    if (mine === undefined) return false;
    const counted = nodes
      .filter((node) =>
        (next.affinity['node-labels'] ?? []).every(
          ({ label, in: values, exists }) =>
            values?.includes(node.labels[label] ?? '') ?? (node.labels[label] !== undefined) === exists,
        ),
      )
      .flatMap((node) => domain(node, topology) ?? []);
    const countOf = (name: string): number =>
      [...others, me].filter((each) => alike(each, me) && domain(each.node, topology) === name).length;
    return countOf(mine) - Math.min(...counted.map(countOf)) <= skew;
  });
  return fitsNode && isBorne && hasCompany && isEven;
}

function domain(node: PlannedNode, topology: string): string | undefined {
  return topology === 'node' ? node.name : node.labels[topology];
}

function workload({ labels, affinity }: Placed, node: PlannedNode): Workload {
  return { node, labels, antiAffinity: affinity['anti-affinity'] ?? [], exclusive: affinity.exclusive };
}

function existing(node: PlannedNode): Workload[] {
  const entries = (node.resources.usage['affinity']?.['workloads'] ?? []) as JsonObject[];
  return entries.flatMap((entry) => {
    const { labels, anti_affinity: antiAffinity, exclusive, count } = entry as JsonObject & { count: number };
    const each = { node, labels, antiAffinity: antiAffinity ?? [], exclusive } as unknown as Workload;
    return Array.from({ length: count }, () => each);
  });
}
