import { EruError, Queue } from '@eru/kit';

import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from './gen/health_pb.ts';
import type { MountedService } from './handlers.ts';
import { mount } from './handlers.ts';

/** `grpc.health.v1`: everything serves until `stop`, when the server begins to close. */
export function healthService(names: readonly string[]): { service: MountedService; stop(): void } {
  const known = new Set(['', ...names]);
  const watchers = new Set<Queue<ServingStatus>>();
  let serving = true;
  const current = (): ServingStatus => (serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING);

  const service = mount(Health, {
    check: ({ service }) =>
      known.has(service)
        ? Promise.resolve({ status: current() })
        : Promise.reject(new EruError('not_found', `this server has no service ${JSON.stringify(service)}`)),

    async *watch({ service }, { signal }) {
      const changes = new Queue<ServingStatus>();
      const leave = (): void => changes.end();
      signal.addEventListener('abort', leave, { once: true });
      watchers.add(changes);
      try {
        yield { status: known.has(service) ? current() : ServingStatus.SERVICE_UNKNOWN };
        for await (const status of changes) if (known.has(service)) yield { status };
      } finally {
        watchers.delete(changes);
      }
    },
  });
  return {
    service,
    stop: () => {
      serving = false;
      for (const watcher of watchers) {
        watcher.push(current());
        watcher.end();
      }
    },
  };
}
