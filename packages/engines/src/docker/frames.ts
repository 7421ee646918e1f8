/** Who said it, and what. */
export interface Spoken {
  stream: 'stdout' | 'stderr';
  data: Buffer;
}

const header = 8;

/** Docker's stream of both outputs: eight bytes (stream number, length) before each piece. */
export async function* frames(source: AsyncIterable<Buffer>): AsyncGenerator<Spoken> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of source) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    while (rest.length - at >= header) {
      const end = at + header + rest.readUInt32BE(at + 4);
      if (end > rest.length) break;
      yield { stream: rest[at] === 2 ? 'stderr' : 'stdout', data: rest.subarray(at + header, end) };
      at = end;
    }
    rest = rest.subarray(at);
  }
}

/** Of a terminal, which has one stream. */
export async function* unframed(source: AsyncIterable<Buffer>): AsyncGenerator<Spoken> {
  for await (const data of source) yield { stream: 'stdout', data };
}
