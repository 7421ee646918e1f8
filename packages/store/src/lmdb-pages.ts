import { EruError } from '@eru/kit';
import type { RootDatabase } from 'lmdb';
import { open } from 'lmdb';

import type { ByteKey } from './key-order.ts';
import type { PageReader, PageWriter, Pages } from './pages.ts';

/**
 * One LMDB file. Its writer thread commits while we go on; `childTransaction` (the kind that a throw undoes) resolves when the change is visible, `flushed`
 * when it is on disk. After a power cut LMDB falls back to the last flushed transaction, whole.
 */
export function openLmdbPages(file: string): Pages {
  const db = ioErrors(() =>
    open<Uint8Array, Buffer>({ path: file, noSubdir: true, encoding: 'binary', keyEncoding: 'binary' }),
  );
  return {
    read: (body) => {
      const transaction = db.useReadTransaction();
      try {
        return ioErrors(() => body(readerOf(db, { transaction })));
      } finally {
        transaction.done();
      }
    },
    write: async (body) => {
      try {
        const value = await db.childTransaction(() => body(writerOf(db)));
        return { value, durable: flushed(db) };
      } catch (error) {
        throw await commitError(error);
      }
    },
    close: () => db.close(),
  };
}

function readerOf(
  db: RootDatabase<Uint8Array, Buffer>,
  options: { transaction?: ReturnType<typeof db.useReadTransaction> },
): PageReader {
  return {
    get: (key) => db.get(bytes(key), options),
    *scan(start, end) {
      const range = end === undefined ? { start: bytes(start) } : { start: bytes(start), end: bytes(end) };
      for (const { key, value } of db.getRange({ ...range, ...options })) yield [key.toString('latin1'), value];
    },
  };
}

/** Inside a transaction reads see the transaction's own writes, and puts are done when they return. */
function writerOf(db: RootDatabase<Uint8Array, Buffer>): PageWriter {
  return {
    ...readerOf(db, {}),
    put: (key, value) => void db.putSync(bytes(key), value as Buffer),
    remove: (key) => void db.removeSync(bytes(key)),
  };
}

function bytes(key: ByteKey): Buffer {
  return Buffer.from(key, 'latin1');
}

async function flushed(db: RootDatabase<Uint8Array, Buffer>): Promise<void> {
  try {
    await db.flushed;
  } catch (error) {
    throw await commitError(error);
  }
}

function ioErrors<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw asFailed(error);
  }
}

/** LMDB tells "commit failed" and keeps the reason in another promise. */
async function commitError(error: unknown): Promise<unknown> {
  if (!(error instanceof Error) || !('commitError' in error)) return asFailed(error);
  return Promise.resolve(error.commitError).then(
    () => asFailed(error),
    (reason: unknown) => asFailed(reason),
  );
}

function asFailed(error: unknown): EruError {
  if (error instanceof EruError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new EruError('failed', `the embedded store cannot read or write its file: ${message}`, { cause: error });
}
