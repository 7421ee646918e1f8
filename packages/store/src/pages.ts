import type { ByteKey } from './key-order.ts';

/**
 * Where the engine keeps its bytes: an ordered map with atomic write transactions and consistent reads. Bodies are
 * synchronous; nothing they were given may be used after they return.
 */
export interface Pages {
  read<T>(body: (reader: PageReader) => T): T;
  /**
   * Runs `body` in a transaction. Resolves when its changes are seen by readers; `durable` resolves when they are on disk.
   * On failure nothing of it has happened.
   */
  write<T>(body: (writer: PageWriter) => T): Promise<{ value: T; durable: Promise<void> }>;
  close(): Promise<void>;
}

export interface PageReader {
  get(key: ByteKey): Uint8Array | undefined;
  /** In order, from `start` up to and without `end`. The map may not be changed while it is walked. */
  scan(start: ByteKey, end: ByteKey | undefined): Iterable<[ByteKey, Uint8Array]>;
}

export interface PageWriter extends PageReader {
  put(key: ByteKey, value: Uint8Array): void;
  remove(key: ByteKey): void;
}
