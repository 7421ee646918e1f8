import { isEruError } from '@eru/kit';
import { Counter, Histogram, type Metric, type Registry } from 'prom-client';

import type { StoreCall } from './state/store-contact.ts';

/** Seconds, from calls on memory to deploys that pull images. */
export const secondBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** What a core measures of its own work. In no registry until somebody wants to show it. */
export class Measures {
  readonly store = new Histogram({
    name: 'eru_store_seconds',
    help: 'duration of calls of the store; outcome ok, refused (it answered) or silent',
    labelNames: ['call', 'outcome'],
    buckets: secondBuckets,
    registers: [],
  });
  readonly watchLag = new Histogram({
    name: 'eru_watch_lag_seconds',
    help: 'from the answer to a write of this core to its coming back in the watch',
    buckets: secondBuckets,
    registers: [],
  });
  readonly plan = new Histogram({
    name: 'eru_plan_seconds',
    help: 'time from asking for a plan of a reservation to having it',
    buckets: secondBuckets,
    registers: [],
  });
  readonly conflicts = new Counter({
    name: 'eru_reserve_conflicts_total',
    help: 'bookings that lost against another one and were planned anew',
    registers: [],
  });
  readonly operations = new Histogram({
    name: 'eru_operation_seconds',
    help: 'operations of this core that have ended, from their begin',
    labelNames: ['kind'],
    buckets: secondBuckets,
    registers: [],
  });
  readonly takeovers = new Counter({
    name: 'eru_takeovers_total',
    help: 'operations of dead cores that this core went on with',
    labelNames: ['kind'],
    registers: [],
  });
  readonly differences = new Counter({
    name: 'eru_reconcile_differences_total',
    help: 'differences between engine, records and bookings that a round of the reconciler saw',
    labelNames: ['kind'],
    registers: [],
  });
  readonly repairs = new Counter({
    name: 'eru_reconcile_repairs_total',
    help: 'differences that two rounds agreed on and that were mended',
    labelNames: ['kind'],
    registers: [],
  });
  readonly deaths = new Counter({
    name: 'eru_node_deaths_total',
    help: 'nodes that ceased to report, as seen while this core was the eldest',
    registers: [],
  });

  register(registry: Registry): void {
    for (const metric of Object.values(this) as Metric[]) registry.registerMetric(metric);
  }

  storeCall({ verb, seconds, error }: StoreCall): void {
    const silent = isEruError(error, 'unavailable') || isEruError(error, 'timeout');
    this.store.observe({ call: verb, outcome: error === undefined ? 'ok' : silent ? 'silent' : 'refused' }, seconds);
  }
}
