/**
 * The free pieces of a core set are kept as one integer per core: the pieces in the high bits, the core's position in its
 * node's list of names below. Names are sorted as text, so integer order is the order in which the reference takes cores
 * (section 3.5 step 1: by pieces, then by name), and sorting is the plain sort of a typed array.
 */
const coreBits = 12;
const coreMask = (1 << coreBits) - 1;

export const maxCores: number = 1 << coreBits;
/** Per core. With 100 pieces to a core that is a core sold 5,242 times. */
export const maxPieces: number = (1 << (31 - coreBits)) - 1;

export function pack(pieces: number, core: number): number {
  return (pieces << coreBits) | core;
}

export function piecesOf(packed: number): number {
  return packed >> coreBits;
}

export function coreOf(packed: number): number {
  return packed & coreMask;
}

/** Whole cores serve whole-core requests; any other core with something left serves fragments only, however much it has. */
export function isWhole(pieces: number, shareBase: number): boolean {
  return pieces === shareBase || (pieces > shareBase && pieces % shareBase === 0);
}

/** Part of a list of cores: from this index up to, without, that one. Ascending unless said otherwise. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

export function everyCore(cores: Int32Array): Range {
  return { from: 0, to: cores.length };
}
