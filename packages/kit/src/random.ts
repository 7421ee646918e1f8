import { randomBytes, randomInt } from 'node:crypto';

/** Randomness, injected; a seeded source replays a run. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform integer in [0, limit). */
  int(limit: number): number;
  /** `length` lower-case hex digits. */
  hex(length: number): string;
  /** `length` ASCII letters. */
  letters(length: number): string;
}

const letterSet = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';

function letters(length: number, int: (limit: number) => number): string {
  return Array.from({ length }, () => letterSet[int(letterSet.length)]).join('');
}

export const systemRandom: Random = {
  next: () => randomInt(2 ** 47) / 2 ** 47,
  int: (limit) => randomInt(limit),
  hex: (length) =>
    randomBytes(Math.ceil(length / 2))
      .toString('hex')
      .slice(0, length),
  letters: (length) => letters(length, (limit) => randomInt(limit)),
};

/** mulberry32: 32 bits of state, good enough for jitter, faults and names in a simulation; never for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const int = (limit: number): number => Math.floor(next() * limit);
  return {
    next,
    int,
    hex: (length) => Array.from({ length }, () => int(16).toString(16)).join(''),
    letters: (length) => letters(length, int),
  };
}
