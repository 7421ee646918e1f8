import { EruError } from '@eru/kit';
import type { RootDatabase } from 'lmdb';
import { open } from 'lmdb';

import type { ByteKey } from './key-order.ts';
import type { PageReader, PageWriter, Pages } from './pages.ts';

const flushLimitMs = 60_000;

/**
 * One LMDB file. Its writer thread commits while we go on; `childTransaction` (the kind that a throw undoes) resolves when the change is visible, `flushed`
 * when it is on disk. After a power cut LMDB falls back to the last flushed transaction, whole.
 */
export function openLmdbPages(file: string): Pages {
  const db = ioErrors(() =>
    open<Uint8Array, Buffer>({
      path: file,
      noSubdir: true,
      encoding: 'binary',
      keyEncoding: 'binary',
      // We batch ourselves, and LMDB's own batches leave the failure of a commit unhandled, which would end the process.
      eventTurnBatching: false,
    }),
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
    put: (key, value) => {
      db.putSync(bytes(key), value);
    },
    remove: (key) => {
      db.removeSync(bytes(key));
    },
  };
}

function bytes(key: ByteKey): Buffer {
  return Buffer.from(key, 'latin1');
}

/**
 * LMDB keeps this promise open for ever when the flush fails, so a limit stands for its failure. `flushed` is a thenable
 * that shows the moment of its call.
 */
async function flushed(db: RootDatabase<Uint8Array, Buffer>): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new EruError('failed', `the disk has not taken a write for ${flushLimitMs / 1000} s`)),
      flushLimitMs,
    );
    db.flushed.then(
      () => {
        clearTimeout(timer);
        resolve();
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(asFailed(error));
      },
    );
  });
}

function ioErrors<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw asFailed(error);
  }
}

/** LMDB tells "commit failed" and keeps the reason in another promise. */
async function commitError(error: unknown): Promise<EruError> {
  if (!(error instanceof Error) || !('commitError' in error)) return asFailed(error);
  try {
    await error.commitError;
    return asFailed(error);
  } catch (reason) {
    return asFailed(reason);
  }
}

function asFailed(error: unknown): EruError {
  if (error instanceof EruError) return error;
  // Which page could not be written helps nobody.
  const message = (error instanceof Error ? error.message : String(error)).replace(
    /: Attempting to write page .*/s,
    '',
  );
  return new EruError('failed', `the embedded store cannot use its file (is the disk full?): ${message}`, {
    cause: error,
  });
}
