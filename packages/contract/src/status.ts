import type { ErrorCode } from '@eru/kit';
import { EruError } from '@eru/kit';

/** What goes on the wire for a failed call. Codes above 16 are the original contract's own (core-rpc.md 1.3). */
export interface Status {
  code: number;
  message: string;
}

/** The status of a call that ended in `error`, where the contract asks for no code of its own. */
export function statusOf(error: unknown): Status {
  const known = EruError.from(error);
  return { code: grpcCodes[known.code], message: known.message };
}

const grpcCodes: Readonly<Record<ErrorCode, number>> = {
  canceled: 1,
  failed: 2,
  invalid: 3,
  timeout: 4,
  not_found: 5,
  exists: 6,
  no_capacity: 8,
  too_large: 8,
  throttled: 8,
  precondition: 9,
  busy: 10,
  conflict: 10,
  fenced: 10,
  compacted: 11,
  unsupported: 12,
  internal: 13,
  unavailable: 14,
  forbidden: 7,
  unauthenticated: 16,
};

/** For peers that are not ours. 8 is nearly always a message limit, 11 is how etcd says "compacted". */
const errorCodes: Readonly<Record<number, ErrorCode>> = {
  1: 'canceled',
  3: 'invalid',
  4: 'timeout',
  5: 'not_found',
  6: 'exists',
  7: 'forbidden',
  8: 'too_large',
  9: 'precondition',
  10: 'conflict',
  11: 'compacted',
  12: 'unsupported',
  13: 'internal',
  14: 'unavailable',
  16: 'unauthenticated',
};

/** Trailing metadata with the EruError itself, so that our own clients get back what was thrown. */
export const errorKey = 'eru-error-bin';

// A header block over 64 KiB ends the connection's stream without any status, so both parts are bounded well below
// (percent encoding can triple the message, base64 adds a third to the details).
const maxMessageBytes = 8 * 1024;
const maxDetailsBytes = 16 * 1024;

/** Details that do not fit, or are not JSON, are left out: the code and the message always arrive. */
export function encodeError(error: EruError): Buffer {
  let details: unknown = error.details;
  try {
    const encoded = Buffer.from(JSON.stringify({ code: error.code, details }));
    if (encoded.length <= maxDetailsBytes) return encoded;
    details = { truncated: true };
  } catch {
    details = {}; // a cycle or a bigint: the handler's slip must not cost the caller its error
  }
  return Buffer.from(JSON.stringify({ code: error.code, details }));
}

/** Seconds, as HTTP and gRPC callers read them, for a refusal that says when to come again (RFC 9110, 10.2.3). */
export function retryAfter({ details }: EruError): string | undefined {
  const ms = details['retryAfterMs'];
  return typeof ms === 'number' ? String(Math.ceil(ms / 1000)) : undefined;
}

/** Bounded, and without lone surrogates, on which percent encoding throws. */
export function wireMessage(message: string): string {
  const bytes = Buffer.from(message);
  if (bytes.length <= maxMessageBytes) return bytes.toString();
  return `${bytes.subarray(0, maxMessageBytes).toString()} …`;
}

/**
 * The EruError of a failed call; `details.grpcCode` is the number that was on the wire, `details.answered` says that the other
 * side spoke, which is not so of a call that nobody answered.
 */
export function decodeError(grpcCode: number, message: string, encoded?: Buffer | string, cause?: unknown): EruError {
  const options = { cause, details: { grpcCode } };
  if (encoded !== undefined) {
    const own = parseOwn(encoded);
    if (own !== undefined) {
      return new EruError(own.code, message, { cause, details: { ...own.details, grpcCode, answered: true } });
    }
  }
  return new EruError(errorCodes[grpcCode] ?? 'failed', message, options);
}

function parseOwn(encoded: Buffer | string): { code: ErrorCode; details: Record<string, unknown> } | undefined {
  try {
    const { code, details } = JSON.parse(encoded.toString()) as { code: string; details?: unknown };
    if (!Object.hasOwn(grpcCodes, code)) return undefined;
    const known = typeof details === 'object' && details !== null ? (details as Record<string, unknown>) : {};
    return { code: code as ErrorCode, details: known };
  } catch {
    return undefined; // not ours: the gRPC code still says enough
  }
}
