import { EruError } from '@eru/kit';

import type { ByteKey } from './key-order.ts';
import { fromByteKey } from './key-order.ts';
import type { KeyValue } from './store.ts';

/** A key's present state. Revisions are six bytes on disk: enough for 285 years at 30,000 a second. */
export interface StoredValue {
  createRevision: number;
  modRevision: number;
  version: number;
  lease: string | undefined;
  value: Uint8Array;
}

/** One change of one key, with what was there before: that is what makes reads of the past possible. */
export interface Change {
  key: ByteKey;
  /** Absent: deleted. */
  next: Uint8Array | undefined;
  /** Absent: did not exist. */
  previous: Uint8Array | undefined;
}

const format = 1;
const fixedBytes = 1 + 3 * 6 + 1;

/** format, create, mod, version, length of lease, lease, value. */
export function encodeValue(stored: StoredValue): Uint8Array {
  const lease = stored.lease ?? '';
  const bytes = Buffer.allocUnsafe(fixedBytes + lease.length + stored.value.byteLength);
  bytes[0] = format;
  bytes.writeUIntBE(stored.createRevision, 1, 6);
  bytes.writeUIntBE(stored.modRevision, 7, 6);
  bytes.writeUIntBE(stored.version, 13, 6);
  bytes[19] = lease.length;
  bytes.write(lease, fixedBytes, 'latin1');
  bytes.set(stored.value, fixedBytes + lease.length);
  return bytes;
}

export function decodeValue(encoded: Uint8Array): StoredValue {
  const bytes = view(encoded);
  const valueAt = fixedBytes + (bytes[19] ?? 0);
  return {
    createRevision: bytes.readUIntBE(1, 6),
    modRevision: bytes.readUIntBE(7, 6),
    version: bytes.readUIntBE(13, 6),
    lease: valueAt === fixedBytes ? undefined : bytes.toString('latin1', fixedBytes, valueAt),
    value: new Uint8Array(bytes.subarray(valueAt)),
  };
}

export function toKeyValue(key: ByteKey, stored: StoredValue, keysOnly = false): KeyValue {
  const { createRevision, modRevision, version, lease, value } = stored;
  return {
    key: fromByteKey(key),
    value: keysOnly ? new Uint8Array() : value,
    createRevision,
    modRevision,
    version,
    lease,
  };
}

/** format, three lengths (0 = absent, for values), key, next, previous. */
export function encodeChange({ key, next, previous }: Change): Uint8Array {
  const header = 1 + 3 * 4;
  const bytes = Buffer.allocUnsafe(header + key.length + (next?.byteLength ?? 0) + (previous?.byteLength ?? 0));
  bytes[0] = format;
  bytes.writeUInt32BE(key.length, 1);
  bytes.writeUInt32BE(next?.byteLength ?? 0, 5);
  bytes.writeUInt32BE(previous?.byteLength ?? 0, 9);
  bytes.write(key, header, 'latin1');
  if (next !== undefined) bytes.set(next, header + key.length);
  if (previous !== undefined) bytes.set(previous, header + key.length + (next?.byteLength ?? 0));
  return bytes;
}

export function decodeChange(encoded: Uint8Array): Change {
  const bytes = view(encoded);
  const nextAt = 13 + bytes.readUInt32BE(1);
  const previousAt = nextAt + bytes.readUInt32BE(5);
  const end = previousAt + bytes.readUInt32BE(9);
  return {
    key: bytes.toString('latin1', 13, nextAt),
    next: previousAt === nextAt ? undefined : bytes.subarray(nextAt, previousAt),
    previous: end === previousAt ? undefined : bytes.subarray(previousAt, end),
  };
}

function view(bytes: Uint8Array): Buffer {
  if (bytes[0] !== format) throw new EruError('failed', `the store holds a record of unknown format ${bytes[0]}`);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
