import type { Settings } from '../kind.ts';
import { isWhole, piecesOf, type Range } from './free-cores.ts';
import type { CoreShare } from './share.ts';

/** How a set of cores serves as many instances as it can (section 3.5 steps 3 to 7, without affinity and memory). */
export interface Split {
  /** So many instances. */
  count: number;
  /** So many of its whole cores, the first of them, are open to fragments. */
  opened: number;
  /** So many fragments fit on the other cores. */
  slots: number;
}

/**
 * Counted, not enumerated; one pass over the cores and no allocation. Whole cores w_1 ≤ w_2 ≤ … (in cores: an oversold
 * one is more than 1) serve t instances of F cores exactly if `sum(min(w_i, t)) >= F * t`. Opening a core for fragments
 * never raises that t and never lowers the number of fragments, so the best split is where the two numbers cross.
 */
export function splitCores(
  cores: Int32Array,
  { from, to }: Range,
  share: CoreShare,
  settings: Settings,
  split: Split,
): void {
  const { whole, fragment } = share;
  const { shareBase, maxShare } = settings;
  let wholeCores = 0;
  let instances = 0;
  let fragmentCores = 0;
  let fragments = 0;
  for (let index = from; index < to; index += 1) {
    const pieces = piecesOf(cores[index] as number);
    if (pieces === 0) continue;
    if (isWhole(pieces, shareBase)) {
      wholeCores += 1;
      instances += pieces / shareBase;
    } else {
      fragmentCores += 1;
      if (fragment > 0) fragments += Math.floor(pieces / fragment);
    }
  }

  split.opened = 0;
  split.slots = fragments;
  if (fragment === 0) {
    split.count = rounds(cores, from, to, instances, whole, shareBase);
    return;
  }
  const mayOpen = openable(wholeCores, fragmentCores, whole, maxShare);
  let best = whole === 0 ? fragments : 0;
  let opened = 0;
  for (let index = from; index < to; index += 1) {
    const pieces = piecesOf(cores[index] as number);
    if (!isWhole(pieces, shareBase)) continue;
    if (whole > 0) {
      const most = rounds(cores, index, to, instances, whole, shareBase);
      const count = Math.min(most, fragments);
      if (count > best) {
        best = count;
        split.opened = opened;
      }
      if (fragments >= most) break;
    }
    if (opened === mayOpen) break;
    opened += 1;
    instances -= pieces / shareBase;
    fragments += Math.floor(pieces / fragment);
    if (whole === 0) {
      best = fragments;
      split.opened = opened;
    }
  }
  split.count = best;
}

/** How many whole cores may be opened for fragments: F of them must stay, and max share bounds the fragment cores of a node. */
export function openable(wholeCores: number, fragmentCores: number, whole: number, maxShare: number): number {
  const limit = wholeCores + fragmentCores - whole;
  const bound = maxShare !== -1 && maxShare <= limit ? maxShare : limit;
  return Math.min(wholeCores, Math.max(0, bound - fragmentCores));
}

/**
 * The largest t with `sum(min(w_i, t)) >= need * t` over the whole cores in the range; `sum` is the sum of their w. A core
 * larger than the mean serves in every round and leaves the rest of the question to the others.
 */
export function rounds(
  cores: Int32Array,
  from: number,
  to: number,
  sum: number,
  need: number,
  shareBase: number,
): number {
  for (let index = to - 1; index >= from; index -= 1) {
    const pieces = piecesOf(cores[index] as number);
    if (!isWhole(pieces, shareBase)) continue;
    const width = pieces / shareBase;
    if (width * need <= sum) break;
    sum -= width;
    need -= 1;
  }
  return Math.floor(sum / need);
}
