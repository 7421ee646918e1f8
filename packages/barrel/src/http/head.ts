import { EruError } from '@eru/kit';

/** Header lines in their order, as they were written. */
export type Headers = readonly (readonly [name: string, value: string])[];

export interface RequestHead {
  readonly method: string;
  /** As it was written: path and query, or a whole URL. */
  readonly target: string;
  readonly version: '1.0' | '1.1';
  readonly headers: Headers;
  /** Every byte of it, with the empty line. */
  readonly raw: Buffer;
}

export interface ResponseHead {
  readonly status: number;
  readonly version: '1.0' | '1.1';
  readonly headers: Headers;
  readonly raw: Buffer;
}

/** Where a body ends. `close`: with the connection. */
export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly bytes: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'close' };

/** What dockerd's own server reads at most. */
export const headBytesMax = 2 ** 20;

/**
 * Takes only what has one meaning: who reads a request otherwise than dockerd does would let something slip past. Lines end with
 * CR LF, no line is folded, names are tokens. @throws EruError `invalid`
 */
export function parseRequest(raw: Buffer): RequestHead {
  const [line = '', ...lines] = linesOf(raw);
  const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e\x80-\xff]+) HTTP\/1\.([01])$/.exec(line);
  if (match === null) throw malformed('the request line is not that of HTTP/1.1');
  const [, method = '', target = '', minor] = match;
  return { method, target, version: minor === '0' ? '1.0' : '1.1', headers: headersOf(lines), raw };
}

/** @throws EruError `failed` */
export function parseResponse(raw: Buffer): ResponseHead {
  const [line = '', ...lines] = linesOf(raw);
  const match = /^HTTP\/1\.([01]) (\d{3})(?: .*)?$/.exec(line);
  if (match === null) throw new EruError('failed', `dockerd does not answer in HTTP/1.1: ${line.slice(0, 100)}`);
  return { status: Number(match[2]), version: match[1] === '0' ? '1.0' : '1.1', headers: headersOf(lines), raw };
}

export function headerOf(headers: Headers, name: string): string | undefined {
  const found = headers.find(([given]) => given.toLowerCase() === name);
  return found?.[1];
}

/** Whether one of the words of a list header, such as `Connection`, is this one. */
export function hasWord(headers: Headers, name: string, word: string): boolean {
  return headers.some(
    ([given, value]) =>
      given.toLowerCase() === name && value.split(',').some((one) => one.trim().toLowerCase() === word),
  );
}

/** @throws EruError `invalid` where two readers could disagree about the end */
export function requestFraming({ headers }: RequestHead): Framing {
  const lengths = valuesOf(headers, 'content-length');
  const codings = valuesOf(headers, 'transfer-encoding');
  if (codings.length > 0) {
    if (lengths.length > 0) throw malformed('it has a Content-Length beside a Transfer-Encoding');
    if (codings.length > 1 || codings[0]?.toLowerCase() !== 'chunked')
      throw malformed(`Transfer-Encoding ${codings.join(', ')} is not understood; write chunked`);
    return { kind: 'chunked' };
  }
  if (lengths.length === 0) return { kind: 'none' };
  return lengthFraming(lengths);
}

/** Of the final answer to a request with this method. */
export function responseFraming({ status, headers }: ResponseHead, method: string): Framing {
  if (method === 'HEAD' || status === 204 || status === 304 || status < 200) return { kind: 'none' };
  if (hasWord(headers, 'transfer-encoding', 'chunked')) return { kind: 'chunked' };
  const lengths = valuesOf(headers, 'content-length');
  return lengths.length === 0 ? { kind: 'close' } : lengthFraming(lengths);
}

/** A request to be sent in place of another: its headers, but for those of the old body and connection. */
export function requestBytes(head: RequestHead, change: { target?: string; body?: Buffer }): Buffer {
  const { target = head.target, body } = change;
  const dropped = new Set(['content-length', 'transfer-encoding', 'expect', 'connection', 'upgrade', 'trailer', 'te']);
  const kept = head.headers.filter(([name]) => !dropped.has(name.toLowerCase()));
  const length: Headers = body === undefined ? [] : [['Content-Length', String(body.length)]];
  return Buffer.concat([headBytes(`${head.method} ${target} HTTP/1.1`, [...kept, ...length]), body ?? Buffer.alloc(0)]);
}

/** Latin-1, as headers are read. */
export function headBytes(line: string, headers: Headers): Buffer {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${line}\r\n${lines.join('')}\r\n`, 'latin1');
}

export function malformed(why: string): EruError {
  return new EruError('invalid', `this request cannot be passed on: ${why}`);
}

function linesOf(raw: Buffer): string[] {
  const text = raw.toString('latin1', 0, raw.length - 4);
  const lines = text.split('\r\n');
  if (lines.some((line) => /[\r\n\0]/.test(line))) throw malformed('a line of its head has a control character');
  return lines;
}

function headersOf(lines: readonly string[]): Headers {
  return lines.map((line) => {
    const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line);
    if (match === null) throw malformed(`the header line ${JSON.stringify(line.slice(0, 60))} has no name`);
    return [match[1] as string, match[2] as string];
  });
}

function valuesOf(headers: Headers, name: string): string[] {
  return headers.flatMap(([given, value]) => (given.toLowerCase() === name ? [value] : []));
}

function lengthFraming(values: readonly string[]): Framing {
  const [value = ''] = values;
  if (!/^\d{1,15}$/.test(value) || values.some((other) => other !== value))
    throw malformed(`Content-Length ${values.join(', ')} is no number`);
  return Number(value) === 0 ? { kind: 'none' } : { kind: 'length', bytes: Number(value) };
}
