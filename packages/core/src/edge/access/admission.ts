import type { CallContext } from '@eru/contract';

import type { Gate } from './authentication.ts';
import type { RateLimit } from './rate-limit.ts';

/** Whoever looks after this core must not be told that it is ill because somebody else is too busy. */
const uncounted: ReadonlySet<string> = new Set(['grpc.health.v1.Health']);

/** What every call passes before its handler: who asks, whether they may, and whether they do so too often. */
export function admission(gate: Gate | undefined, rates: RateLimit): (call: CallContext) => void | Promise<void> {
  return (call) => {
    const count = (name: string): void => {
      if (!uncounted.has(call.method.parent.typeName)) rates.take(`${name}@${call.peer.replace(/:\d+$/, '')}`);
    };
    let late: void | Promise<void>;
    try {
      late = gate?.admit(call);
    } catch (error) {
      count('nobody'); // guesses are bounded, too
      throw error;
    }
    // A refusal that comes late is one, whatever else is true.
    if (late === undefined) count(gate?.principalOf(call)?.name ?? 'anyone');
    return late;
  };
}
