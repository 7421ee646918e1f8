import type { Socket } from 'node:net';

/** How long a new connection may say nothing; a peer that is slower than this is no client of ours. */
export const firstBytesMs = 10_000;

/**
 * Reads the beginning of a connection until `decide` says who takes it (undefined = not enough yet), and hands it over as
 * if nothing had been read. A connection that ends or stays silent before that is closed.
 */
export function byFirstBytes(socket: Socket, decide: (head: Buffer) => ((socket: Socket) => void) | undefined): void {
  const giveUp = (): void => void socket.destroy();
  const timer = setTimeout(giveUp, firstBytesMs);
  const stop = (): void => {
    clearTimeout(timer);
    socket.off('readable', onReadable);
    socket.off('error', giveUp);
    socket.off('end', giveUp);
    socket.off('close', stop);
  };
  let head = Buffer.alloc(0);
  const onReadable = (): void => {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    head = Buffer.concat([head, chunk]);
    const take = decide(head);
    if (take === undefined) return;
    stop();
    socket.unshift(head);
    take(socket);
  };
  socket.on('readable', onReadable);
  socket.on('error', giveUp);
  socket.on('end', giveUp);
  socket.on('close', stop);
}

/** How every HTTP/2 connection begins (RFC 9113, 3.4); no HTTP/1.1 request does. */
const http2Preface = Buffer.from('PRI * HTTP/2');

/** Undefined while it may still become one. */
export function beginsHttp2(head: Buffer): boolean | undefined {
  const length = Math.min(head.length, http2Preface.length);
  if (!head.subarray(0, length).equals(http2Preface.subarray(0, length))) return false;
  return length === http2Preface.length ? true : undefined;
}

/** The record type of a handshake (RFC 8446, 5.1); no method of HTTP begins with it. */
export function beginsTls(head: Buffer): boolean {
  return head[0] === 0x16;
}
