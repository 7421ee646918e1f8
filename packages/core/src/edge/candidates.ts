import { lacksEngine } from '@eru/engines';
import { EruError, isEruError, stableStringify } from '@eru/kit';

import { noSuchNode } from '../absent.ts';
import type { Change } from '../state/tables.ts';
import type { ClusterView } from '../state/view.ts';
import type { NodeResourcesRecord } from '../state/records.ts';
import type { NodeChoice } from './wire/deploy-options.ts';
import type { LeftOut } from './wire/plan.ts';

/** Choices whose answer is kept. */
const kept = 64;

/**
 * The nodes that a request may use. The answer to a choice is the same array until a node comes, goes, or changes its labels,
 * its heartbeat or its cordon: the planner recognises it, so that 50,000 names are not looked at for every deploy.
 */
export class Candidates {
  readonly #view: ClusterView;
  readonly #known = new Map<string, readonly string[]>();
  readonly #unsubscribe: () => void;

  constructor(view: ClusterView) {
    this.#view = view;
    const subscriptions = [
      view.subscribe((change) => {
        if (concerns(change)) this.#known.clear();
      }),
      view.heartbeats.subscribe(() => this.#known.clear()),
    ];
    this.#unsubscribe = () => {
      for (const unsubscribe of subscriptions) unsubscribe();
    };
  }

  close(): void {
    this.#unsubscribe();
  }

  /**
   * What is named is taken as it is, but for what could never run there. `not_found` for an unknown name among the includes;
   * `no_capacity` when none is left. An empty pod is any.
   */
  of(choice: NodeChoice): readonly string[] {
    const key = stableStringify({ ...choice });
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const names = choice.includes.length > 0 ? this.#included(choice) : this.#chosen(choice);
    if (names.length === 0) throw new EruError('no_capacity', 'node map is empty');
    if (this.#known.size >= kept) this.#known.clear();
    this.#known.set(key, names);
    return names;
  }

  /** Why each node of the pod is left out, for people; none for an unknown pod. */
  excluded(choice: NodeChoice): LeftOut[] {
    return this.#view.nodes.names().flatMap((node) => {
      if (this.#view.nodes.get(node)?.value.pod !== choice.pod) return [];
      const reason = this.#unfit(node, choice);
      return reason === undefined ? [] : [{ node, reason }];
    });
  }

  #included({ includes, engine }: NodeChoice): string[] {
    const unknown = includes.find((name) => this.#view.fleet.get(name) === undefined);
    if (unknown !== undefined) throw noSuchNode(unknown);
    return [...new Set(includes)].filter((name) => this.#lacks(name, engine) === undefined);
  }

  #chosen(choice: NodeChoice): string[] {
    const names: string[] = [];
    for (const [name, { value }] of this.#view.nodes) {
      if (choice.pod !== '' && value.pod !== choice.pod) continue;
      if (this.#view.fleet.get(name) !== undefined && this.#unfit(name, choice) === undefined) names.push(name);
    }
    return names;
  }

  #unfit(node: string, { includes, excludes, labels, engine }: NodeChoice): string | undefined {
    const lack = this.#lacks(node, engine);
    if (lack !== undefined || includes.includes(node)) return lack;
    if (includes.length > 0) return 'not among the nodes of the request';
    if (this.#view.isCordoned(node)) return 'down: set not to take workloads';
    if (!this.#view.isAvailable(node)) return 'down: no heartbeat';
    if (excludes.includes(node)) return 'excluded by the request';
    return matches(this.#view.nodes.get(node)?.value.labels ?? {}, labels) ? undefined : 'labels do not match';
  }

  #lacks(node: string, engine: string | undefined): string | undefined {
    const type = this.#view.nodes.get(node)?.value.engine ?? '';
    return engine === undefined ? undefined : lacksEngine(type, engine);
  }
}

/** The nodes that are named, or those of a pod that are up (any pod when empty); `none` is the complaint when there is none. */
export function nodesFor(
  candidates: Candidates,
  pod: string,
  includes: readonly string[],
  none: string,
): readonly string[] {
  try {
    return candidates.of({ pod, includes: [...includes], excludes: [], labels: {}, engine: undefined });
  } catch (cause) {
    if (!isEruError(cause, 'no_capacity')) throw cause;
    throw new EruError('precondition', none, { cause });
  }
}

/** Every wanted label is there with exactly that value. */
export function matches(labels: Readonly<Record<string, string>>, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([name, value]) => labels[name] === value);
}

function concerns({ table, before, after }: Change): boolean {
  if (table === 'nodes') return true;
  if (table !== 'nodeResources') return false;
  const [was, is] = [before?.value, after?.value] as (NodeResourcesRecord | undefined)[];
  return was?.cordon !== is?.cordon;
}
