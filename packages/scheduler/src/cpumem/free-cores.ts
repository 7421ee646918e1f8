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

/**
 * A list of packed cores as a text of two characters each, which takes a quarter of the memory of an array: of most cores both
 * fit into a byte.
 */
export function writeCores(cores: Int32Array): string {
  const characters: number[] = [];
  for (const packed of cores) {
    const pieces = piecesOf(packed);
    characters.push(((pieces >> 16) << coreBits) | coreOf(packed), pieces & 0xffff);
  }
  return String.fromCharCode(...characters);
}

export function countCores(text: string): number {
  return text.length / 2;
}

/** Into an array that is long enough. */
export function readCores(text: string, cores: Int32Array): void {
  for (let index = 0; 2 * index < text.length; index += 1) {
    const upper = text.charCodeAt(2 * index);
    const pieces = ((upper >> coreBits) << 16) | text.charCodeAt(2 * index + 1);
    cores[index] = pack(pieces, upper & coreMask);
  }
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
