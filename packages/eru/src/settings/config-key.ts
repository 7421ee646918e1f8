import { z } from 'zod';

/** One key of a configuration file. */
export interface Key<T extends z.ZodType = z.ZodType> {
  readonly type: T;
  /** `unused` is accepted and has no effect; `stale` the original does not read either. */
  readonly use: 'used' | 'unused' | 'stale';
  /** What it means here, or why it means nothing. */
  readonly meaning: string;
  /** Takes effect on SIGHUP; everything else at the next start. */
  readonly reload: boolean;
}

const units: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** A duration as Go writes it (`30s`, `1h15m`), in milliseconds. */
export const duration = z.string().transform((text, context): number => {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  const ms = parts.reduce((sum, [, count, unit]) => sum + Number(count) * (units[unit ?? ''] ?? 0), 0);
  if (parts.map(([part]) => part).join('') === text && ms >= 1) return ms;
  context.addIssue(`${JSON.stringify(text)} is no duration; write one such as 30s or 5m`);
  return z.NEVER;
});

/** The original's default is a bare port, on which it cannot listen; here it means all interfaces. */
export const address = z
  .union([z.string().min(1), z.int().min(0).max(65_535)])
  .transform((given) => (/^\d+$/.test(String(given)) ? `:${given}` : String(given)));

export const levels = {
  trace: 'debug',
  debug: 'debug',
  info: 'info',
  warn: 'warn',
  error: 'error',
  fatal: 'error',
  panic: 'error',
  disabled: 'silent',
} as const;
export const level = z
  .string()
  .transform((text) => text.toLowerCase())
  .pipe(z.enum(Object.keys(levels) as (keyof typeof levels)[]))
  .transform((name) => levels[name]);

export const text = z.string();
export const count = z.int().min(1);

export function used<T extends z.ZodType>(type: T, meaning: string, { reload = false } = {}): Key<T> {
  return { type, use: 'used', meaning, reload };
}

export function unused<T extends z.ZodType>(type: T, meaning: string): Key<T> {
  return { type, use: 'unused', meaning, reload: false };
}

export function stale(instead: string): Key<z.ZodUnknown> {
  return {
    type: z.unknown(),
    use: 'stale',
    meaning: `the original does not read it either; ${instead}`,
    reload: false,
  };
}
