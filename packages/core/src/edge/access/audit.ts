import type { CallContext } from '@eru/contract';
import { EruError, type Clock, type Logger } from '@eru/kit';

import type { Principal } from './authentication.ts';
import type { Observer } from '../observe.ts';
import { roleFor } from './roles.ts';

/** Fields of requests that name what is to be changed; everything else stays out of the log, secrets above all. */
const objectFields = ['id', 'ids', 'IDs', 'name', 'nodename', 'podname', 'node', 'network', 'target'] as const;

/** One line for each call that may change something: who, from where, what, and how it ended. */
export function auditor(logger: Logger, clock: Clock, who: (call: CallContext) => Principal | undefined): Observer {
  return (call, request) => {
    if (roleFor(call.method) === 'read') return () => {};
    const beganAtMs = clock.monotonic();
    const { parent, name } = call.method;
    const principal = who(call);
    const line = {
      audit: `${parent.typeName}/${name}`,
      who: principal?.name ?? 'anyone',
      role: principal?.role ?? 'admin',
      peer: call.peer,
      ...objectsOf(request),
    };
    return (error) => {
      const outcome = error === undefined ? 'ok' : EruError.from(error).code;
      logger.info({ ...line, outcome, ms: Math.round(clock.monotonic() - beganAtMs) }, 'audit');
    };
  };
}

function objectsOf(request: unknown): Record<string, unknown> {
  if (typeof request !== 'object' || request === null) return {};
  const fields = request as Readonly<Record<string, unknown>>;
  return Object.fromEntries(
    objectFields.flatMap((field) => {
      const value = fields[field];
      const names = Array.isArray(value) ? value.every((item) => typeof item === 'string') : typeof value === 'string';
      return names && (value as string).length > 0 ? [[field, value]] : [];
    }),
  );
}
