import { EruError } from '@eru/kit';
import { once } from 'node:events';
import { extract } from 'tar-stream';

/** Passes an archive on as it comes, up to an entry whose name leaves the target folder. @throws EruError `invalid` */
export async function* insideTarget(tar: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  // Takes nothing in before it has read what came before.
  const reader = extract({ highWaterMark: 0 });
  const refusal: { error?: EruError } = {};
  reader.on('entry', ({ name }, contents, next) => {
    contents.once('end', next).resume();
    if (name.startsWith('/') || name.split('/').includes('..'))
      refusal.error = new EruError('invalid', `tar entry ${name} leaves the target folder`);
  });
  reader.once('error', (cause: Error) => {
    refusal.error = new EruError('invalid', `the stream is no tar archive: ${cause.message}`, { cause });
  });
  try {
    for await (const piece of tar) {
      if (!reader.write(piece)) await once(reader, 'drain').catch(() => {}); // It has failed, which is told below.
      if (refusal.error !== undefined) throw refusal.error;
      yield piece;
    }
  } finally {
    reader.destroy();
  }
}
