import { EruError, isEruError, toSafeNumber } from '@eru/kit';
import type { MessageInitShape } from '@eru/contract';

import type {
  CompareSchema,
  Event,
  KeyValue as WireKeyValue,
  RequestOpSchema,
  ResponseOp,
  ResponseHeader,
  TxnRequestSchema,
} from './gen/etcd_pb.ts';
import { Compare_CompareResult, Compare_CompareTarget, Event_EventType } from './gen/etcd_pb.ts';
import type { Interval } from './key-order.ts';
import { fromByteKey, intervalOf, toByteKey } from './key-order.ts';
import type { Compare, KeyRange, KeyValue, StoreEvent, Txn, TxnOp, TxnOpResult } from './store.ts';

/** Translates between the store's terms and etcd's, and puts every key under one prefix that callers never see. */
export class EtcdWire {
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = toByteKey(prefix);
  }

  get prefixBytes(): number {
    return this.#prefix.length;
  }

  /** Key and range end as etcd has them: no end for one key. */
  range(range: KeyRange): { key: Uint8Array; rangeEnd: Uint8Array } {
    if ('key' in range) return { key: this.#key(range.key), rangeEnd: new Uint8Array() };
    const { start, end }: Interval =
      'prefix' in range
        ? intervalOf({ prefix: fromByteKey(this.#prefix) + range.prefix })
        : { start: this.#prefix + toByteKey(range.start), end: this.#prefix + toByteKey(range.end) };
    // "\0" is etcd's way to say "to the end of all keys".
    return { key: bytes(start), rangeEnd: bytes(end ?? '\0') };
  }

  txn(txn: Txn): MessageInitShape<typeof TxnRequestSchema> {
    return {
      compare: (txn.compare ?? []).map((compare) => this.#compare(compare)),
      success: txn.then.map((operation) => this.#operation(operation)),
      failure: (txn.otherwise ?? []).map((operation) => this.#operation(operation)),
    };
  }

  keyValue(kv: WireKeyValue): KeyValue {
    return {
      key: this.#text(kv.key),
      value: new Uint8Array(kv.value), // a copy: the original is a window on the whole message
      createRevision: toSafeNumber(kv.createRevision),
      modRevision: toSafeNumber(kv.modRevision),
      version: toSafeNumber(kv.version),
      lease: kv.lease === 0n ? undefined : leaseName(kv.lease),
    };
  }

  event({ type, kv }: Event): StoreEvent {
    if (kv === undefined) throw new EruError('failed', 'etcd sent an event without a key');
    if (type === Event_EventType.PUT) return { type: 'put', kv: this.keyValue(kv) };
    return { type: 'delete', key: this.#text(kv.key), modRevision: toSafeNumber(kv.modRevision) };
  }

  result({ response }: ResponseOp): TxnOpResult {
    switch (response.case) {
      case 'responsePut':
        return { op: 'put' };
      case 'responseDeleteRange':
        return { op: 'delete', deleted: toSafeNumber(response.value.deleted) };
      case 'responseRange':
        return { op: 'get', kvs: response.value.kvs.map((kv) => this.keyValue(kv)), more: response.value.more };
      case undefined:
        throw new EruError('failed', 'etcd answered an operation with nothing');
    }
  }

  #compare(compare: Compare): MessageInitShape<typeof CompareSchema> {
    const common = { key: this.#key(compare.key), result: compareResults[compare.op] };
    switch (compare.target) {
      case 'value':
        return {
          ...common,
          target: Compare_CompareTarget.VALUE,
          targetUnion: { case: 'value', value: compare.value },
        };
      case 'create':
        return {
          ...common,
          target: Compare_CompareTarget.CREATE,
          targetUnion: { case: 'createRevision', value: BigInt(compare.value) },
        };
      case 'mod':
        return {
          ...common,
          target: Compare_CompareTarget.MOD,
          targetUnion: { case: 'modRevision', value: BigInt(compare.value) },
        };
      case 'version':
        return {
          ...common,
          target: Compare_CompareTarget.VERSION,
          targetUnion: { case: 'version', value: BigInt(compare.value) },
        };
    }
  }

  #operation(operation: TxnOp): MessageInitShape<typeof RequestOpSchema> {
    switch (operation.op) {
      case 'put': {
        const lease = operation.lease === undefined ? 0n : leaseNumber(operation.lease);
        const value = { key: this.#key(operation.key), value: operation.value, lease };
        return { request: { case: 'requestPut', value } };
      }
      case 'delete':
        return { request: { case: 'requestDeleteRange', value: this.range(operation.range) } };
      case 'get': {
        const { limit = 0, keysOnly = false } = operation;
        return {
          request: { case: 'requestRange', value: { ...this.range(operation.range), limit: BigInt(limit), keysOnly } },
        };
      }
    }
  }

  #key(key: string): Uint8Array {
    return bytes(this.#prefix + toByteKey(key));
  }

  #text(key: Uint8Array): string {
    return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('utf8', this.#prefix.length);
  }
}

const compareResults: Readonly<Record<Compare['op'], Compare_CompareResult>> = {
  '=': Compare_CompareResult.EQUAL,
  '!=': Compare_CompareResult.NOT_EQUAL,
  '<': Compare_CompareResult.LESS,
  '>': Compare_CompareResult.GREATER,
};

export function leaseName(id: bigint): string {
  return BigInt.asUintN(64, id).toString(16).padStart(16, '0');
}

/** What is no lease's name is the lease 0 to etcd, "none"; so that it never silently becomes that, it is refused here. */
export function leaseNumber(id: string): bigint {
  if (!/^[0-9a-f]{16}$/.test(id) || /^0+$/.test(id)) throw new EruError('not_found', `lease ${id} has ended`);
  return BigInt.asIntN(64, BigInt(`0x${id}`));
}

export function revisionOf(header: ResponseHeader | undefined): number {
  return toSafeNumber(header?.revision ?? 0n);
}

/** etcd's own words (api/v3rpc/rpctypes) decide where a gRPC code stands for several things. */
export function fromEtcd(error: unknown): EruError {
  if (!isEruError(error)) return EruError.from(error);
  const { grpcCode } = error.details;
  if (grpcCode === undefined) return error;
  const known = meanings.find(([words]) => error.message.includes(words));
  // A connection that breaks under a call is 13 or 1 on the wire; nobody knows whether the server had taken it.
  const code = known?.[1] ?? (grpcCode === 13 || grpcCode === 1 ? 'unavailable' : error.code);
  if (code === error.code) return error;
  return new EruError(code, error.message, { cause: error, details: { ...error.details } });
}

const meanings: readonly (readonly [string, EruError['code']])[] = [
  ['required revision has been compacted', 'compacted'],
  ['required revision is a future revision', 'invalid'],
  ['requested lease not found', 'not_found'],
  ['too many operations', 'too_large'],
  ['request is too large', 'too_large'],
  ['database space exceeded', 'failed'],
  ['too many requests', 'unavailable'],
  ['request timed out', 'unavailable'],
  ['context deadline exceeded', 'timeout'],
  ['authentication failed', 'unauthenticated'],
  ['user name is empty', 'unauthenticated'],
  ['revision of auth store is old', 'unauthenticated'],
];

function bytes(key: string): Uint8Array {
  return Buffer.from(key, 'latin1');
}
