import type { Logger as PinoLogger } from 'pino';
import { destination, pino } from 'pino';

/** Structured logs: fields first, then the sentence. */
export type Logger = Pick<PinoLogger, 'debug' | 'info' | 'warn' | 'error' | 'child'>;

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

export interface LogOptions {
  level?: LogLevel;
  /** A file to append to; standard error when absent. */
  file?: string;
}

/** JSON lines, written synchronously: nothing is lost in a crash. A full disk costs lines, never the process. */
export function createLogger(options: LogOptions = {}): Logger {
  return createAdjustableLogger(options).logger;
}

/** A logger whose level may change while it is used, and whose file may be moved away and opened anew. */
export function createAdjustableLogger({ level = 'info', file }: LogOptions): {
  logger: Logger;
  setLevel(level: LogLevel): void;
  reopen(): void;
} {
  const target = destination({ dest: file ?? 2, sync: true, append: true, mkdir: true, maxLength: heldBytes });
  target.on('error', () => {}); // What could not be written is tried again with the next line.
  const logger = pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, serializers: { err: pino.stdSerializers.err } },
    target,
  );
  return {
    logger,
    setLevel: (next) => {
      logger.level = next;
    },
    reopen: () => {
      if (file !== undefined) target.reopen();
    },
  };
}

/** Kept for a better time while nothing can be written. */
const heldBytes = 2 ** 20;

export const silentLogger: Logger = pino({ level: 'silent' });
