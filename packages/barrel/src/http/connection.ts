import type { Duplex } from 'node:stream';

import { EruError } from '@eru/kit';

import { errorReply, replyBytes, type Answer, type Reply } from './answer.ts';
import { bodyScanner } from './body.ts';
import {
  hasWord,
  headerOf,
  parseRequest,
  parseResponse,
  requestBytes,
  requestFraming,
  responseFraming,
  type Framing,
  type RequestHead,
} from './head.ts';
import { Wire } from './wire.ts';

/** A request whose answer is ours to give; its body is read. */
export interface Exchange {
  readonly head: RequestHead;
  readonly body: Buffer;
  /** Asks dockerd, with another query or body where given. @throws EruError `unavailable` */
  readonly forward: (change?: { target?: string; body?: Buffer }) => Promise<Answer>;
}

export type Handler = (exchange: Exchange) => Promise<Reply>;

export interface ConnectionOptions {
  /** A new connection to dockerd, both sides of which end apart. */
  dial: () => Duplex;
  /** Who answers this request; undefined: dockerd, byte for byte. @throws EruError `invalid` */
  handlerOf: (head: RequestHead) => Handler | undefined;
  onRequest?: (head: RequestHead, intercepted: boolean) => void;
}

/** Of bodies that are read whole: a container's configuration has some kilobytes. */
const bodyBytesMax = 16 * 2 ** 20;
/** How long an answer may be read by a client that still sends; what it sends is thrown away. As long as Go's servers. */
const lingerMs = 500;

/**
 * One client's connection, and its own one to dockerd behind it. What is not intercepted goes through as the bytes that came, with
 * heads read and bodies' ends found, no more; so nothing is held back, changed or timed, and who ends one side ends it at the other. A
 * connection that becomes a stream (101, or an answer without an end) is joined to dockerd's.
 */
export async function serveConnection(socket: Duplex, options: ConnectionOptions): Promise<void> {
  const client = new Wire(socket);
  let upstream: Wire | undefined;
  const dial = (): Wire => {
    if (upstream === undefined || upstream.ended) {
      const fresh = new Wire(options.dial());
      upstream = fresh;
      client.socket.once('close', () => fresh.destroy());
    }
    return upstream;
  };
  try {
    while (await serveOne(client, dial, options));
    await linger(client);
  } catch (error) {
    // Half an answer cannot be mended: the client must see that it is broken.
    if (!(error instanceof BrokenError) && !client.gone) {
      client.socket.write(replyBytes(errorReply(error), true));
      await linger(client);
    }
  } finally {
    client.destroy();
    upstream?.destroy();
  }
}

/** Thrown when something was sent already. */
class BrokenError extends Error {}

/** Answers whether the connection goes on. */
async function serveOne(client: Wire, dial: () => Wire, options: ConnectionOptions): Promise<boolean> {
  const raw = await client.readHead();
  if (raw === undefined) return false;
  const head = parseRequest(raw);
  const framing = requestFraming(head);
  const handler = options.handlerOf(head);
  options.onRequest?.(head, handler !== undefined);
  if (handler === undefined) return passThrough(client, dial(), head, framing);
  const last = head.version === '1.0' || hasWord(head.headers, 'connection', 'close');
  const reply = await answer(client, dial, head, framing, handler);
  await client.write(replyBytes(reply, last));
  return !last;
}

async function answer(
  client: Wire,
  dial: () => Wire,
  head: RequestHead,
  framing: Framing,
  handler: Handler,
): Promise<Reply> {
  if (framing.kind !== 'none' && headerOf(head.headers, 'expect')?.toLowerCase() === '100-continue')
    await client.write(Buffer.from('HTTP/1.1 100 Continue\r\n\r\n'));
  const body = await readBody(client, framing, bodyBytesMax);
  const forward = async (change: { target?: string; body?: Buffer } = {}): Promise<Answer> => {
    const upstream = dial();
    // An absent body stays absent.
    const sent = body.length > 0 ? { body, ...change } : change;
    await upstream.write(requestBytes(head, sent));
    return readAnswer(upstream, head.method);
  };
  try {
    return await handler({ head, body, forward });
  } catch (error) {
    return errorReply(error);
  }
}

async function readAnswer(upstream: Wire, method: string): Promise<Answer> {
  for (;;) {
    const raw = await upstream.readHead();
    if (raw === undefined) throw silent(upstream);
    const head = parseResponse(raw);
    if (head.status < 200) continue;
    const framing = responseFraming(head, method);
    const body = await readBody(upstream, framing, Number.POSITIVE_INFINITY);
    if (framing.kind === 'close' || hasWord(head.headers, 'connection', 'close')) upstream.destroy();
    return { head, body };
  }
}

/** Answers whether both connections may be used again. */
async function passThrough(client: Wire, upstream: Wire, head: RequestHead, framing: Framing): Promise<boolean> {
  let asked = false;
  const endAsClient = (): void => {
    if (asked && client.ended && !client.pending) upstream.end();
  };
  const asking = (async (): Promise<void> => {
    await upstream.write(head.raw);
    await copyBody(client, upstream, framing);
    asked = true;
    // Who ends its side after the request, or goes away, does so at dockerd's.
    client.onEnd = endAsClient;
    endAsClient();
  })();
  // dockerd's answer tells why it took no more.
  asking.catch((error: unknown) => {
    if (!(error instanceof EruError) || error.code !== 'unavailable' || client.gone) upstream.destroy();
  });
  try {
    return await passAnswer(client, upstream, head, () => asking);
  } finally {
    client.onEnd = undefined;
  }
}

async function passAnswer(
  client: Wire,
  upstream: Wire,
  head: RequestHead,
  asking: () => Promise<void>,
): Promise<boolean> {
  for (;;) {
    const raw = await upstream.readHead();
    if (raw === undefined) throw silent(upstream);
    const response = parseResponse(raw);
    const framing = responseFraming(response, head.method);
    await client.write(raw);
    const stream = response.status === 101 || framing.kind === 'close';
    if (!stream && response.status < 200) continue;
    try {
      if (stream) {
        await join(client, upstream, asking);
        return false;
      }
      await copyBody(upstream, client, framing);
      const closing = [head, response].some(
        ({ version, headers }) => version === '1.0' || hasWord(headers, 'connection', 'close'),
      );
      if (closing || (client.ended && !client.pending)) return false;
      return await settled(asking());
    } catch (error) {
      throw new BrokenError('the answer could not be passed on whole', { cause: error });
    }
  }
}

/** dockerd answers before it has read all: what is on its way may arrive within this time, or the connection ends. */
async function settled(asking: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), lingerMs);
  });
  try {
    return await Promise.race([asking.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Both directions until both have ended; each ends by itself. */
async function join(client: Wire, upstream: Wire, asking: () => Promise<void>): Promise<void> {
  const up = async (): Promise<void> => {
    await asking();
    client.onEnd = undefined;
    await copyAll(client, upstream);
  };
  // A client that is gone ends the stream; one that says nothing more waits for the rest. dockerd's end is the end of all.
  const sending = up();
  sending.catch(() => client.gone && upstream.destroy());
  await copyAll(upstream, client);
  if (!upstream.gone) await Promise.race([sending.catch(() => {}), closed(upstream), closed(client)]);
}

async function copyAll(from: Wire, to: Wire): Promise<void> {
  for (let piece = await from.read(); piece !== undefined; piece = await from.read()) await to.write(piece);
  to.end();
}

async function copyBody(from: Wire, to: Wire, framing: Framing): Promise<void> {
  await scanBody(from, framing, async (raw) => to.write(raw));
}

async function readBody(from: Wire, framing: Framing, bytesMax: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  await scanBody(from, framing, async (_raw, content) => {
    for (const piece of content) bytes += piece.length;
    if (bytes > bytesMax) throw new EruError('too_large', `the body of this request has more than ${bytesMax} bytes`);
    pieces.push(...content);
  });
  return Buffer.concat(pieces);
}

async function scanBody(
  from: Wire,
  framing: Framing,
  take: (raw: Buffer, content: readonly Buffer[]) => Promise<void>,
): Promise<void> {
  if (framing.kind === 'none') return;
  const scanner = bodyScanner(framing);
  for (;;) {
    const piece = await from.read();
    if (piece === undefined) {
      if (framing.kind === 'close') return;
      throw new EruError('failed', 'a body ended before its end');
    }
    const { bytes, done, content } = scanner.scan(piece);
    from.unread(piece.subarray(bytes));
    await take(piece.subarray(0, bytes), content);
    if (done) return;
  }
}

/** Ends our side. A connection that is closed while bytes are unread is reset, and the client may lose our answer. */
async function linger(client: Wire): Promise<void> {
  await client.finish();
  const timer = setTimeout(() => client.destroy(), lingerMs);
  while ((await client.read()) !== undefined);
  clearTimeout(timer);
}

function closed({ socket }: Wire): Promise<void> {
  if (socket.destroyed) return Promise.resolve();
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

function silent({ failure }: Wire): EruError {
  const why = failure === undefined ? 'it closed the connection without an answer' : failure.message;
  return new EruError('unavailable', `dockerd cannot be asked: ${why}`);
}
