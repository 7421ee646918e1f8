import type { Logger as PinoLogger } from 'pino';
import { destination, pino } from 'pino';

/** Structured logs: fields first, then the sentence. */
export type Logger = Pick<PinoLogger, 'debug' | 'info' | 'warn' | 'error' | 'child'>;

export interface LogOptions {
  level?: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /** A file to append to; standard error when absent. */
  file?: string;
}

/** JSON lines, written synchronously: nothing is lost in a crash. A full disk costs lines, never the process. */
export function createLogger(options: LogOptions = {}): Logger {
  const { level = 'info', file } = options;
  const target = destination({ dest: file ?? 2, sync: true, append: true, mkdir: true, maxLength: heldBytes });
  target.on('error', () => {}); // What could not be written is tried again with the next line.
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, serializers: { err: pino.stdSerializers.err } },
    target,
  );
}

/** Kept for a better time while nothing can be written. */
const heldBytes = 2 ** 20;

export const silentLogger: Logger = pino({ level: 'silent' });
