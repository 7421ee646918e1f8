import type { ErrorCode } from '@eru/kit';

/** The original's error texts (reference/core-behaviour.md section 8 and the plugins' own), and what each means here. */
const identities: readonly (readonly [text: string, code: ErrorCode])[] = [
  ['cannot alloc a plan, not enough nodes capacity', 'no_capacity'],
  ['cannot alloc a plan, not enough resource', 'no_capacity'],
  ['insufficient capacity', 'no_capacity'],
  ['insufficient resource', 'no_capacity'],
  ['node already exists', 'exists'],
  ['key exists', 'exists'],
  ['bad `Count` value', 'not_found'],
  ['node not exists', 'not_found'],
  ['key not exists', 'not_found'],
  ['ETCD Txn condition failed', 'conflict'],
  ['context deadline exceeded', 'timeout'],
  ['node name is empty', 'invalid'],
  ['invalid resource capacity', 'invalid'],
  ['invalid engine args', 'invalid'],
  ['invalid cpu', 'invalid'],
  ['invalid memory', 'invalid'],
  ['invalid numa', 'invalid'],
  ['invalid volume', 'invalid'],
  ['invalid storage', 'invalid'],
  ['invalid disk', 'invalid'],
  ['invalid io parameters', 'invalid'],
  ['invalid gpu', 'invalid'],
];

export interface Identity {
  readonly text: string;
  readonly code: ErrorCode;
}

/** A process gives only an exit status and words: which of the known errors these words are. */
export function identify(said: string): Identity | undefined {
  // A Go program that panics speaks of an `invalid memory address`.
  if (said.includes('panic:')) return undefined;
  const found = identities.find(([text]) => said.includes(text));
  return found === undefined ? undefined : { text: found[0], code: found[1] };
}
