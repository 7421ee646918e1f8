import type { Logger as PinoLogger } from 'pino';
import { destination, pino } from 'pino';

/** Structured logs: fields first, then the sentence. */
export type Logger = Pick<PinoLogger, 'debug' | 'info' | 'warn' | 'error' | 'child'>;

export interface LogOptions {
  level?: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /** A file to append to; standard error when absent. */
  file?: string;
}

/** JSON lines, written synchronously: nothing is lost in a crash. */
export function createLogger(options: LogOptions = {}): Logger {
  const { level = 'info', file } = options;
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, serializers: { err: pino.stdSerializers.err } },
    destination({ dest: file ?? 2, sync: true, append: true, mkdir: true }),
  );
}

export const silentLogger: Logger = pino({ level: 'silent' });
