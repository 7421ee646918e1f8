import { hostname } from 'node:os';

import { collectDefaultMetrics, Counter, Gauge, Histogram, type Registry } from 'prom-client';

import type { Context } from '../context.ts';
import { secondBuckets } from '../measures.ts';
import type { Membership } from '../state/membership.ts';
import type { OperationRecord } from '../state/records.ts';
import type { Observer } from './observe.ts';

/** Nodes whose figures are computed without a pause, so that a scrape of a large fleet holds nobody up. */
const nodesPerSlice = 500;

/** Registers this core's metrics; the first six are the original's (reference/core-behaviour.md section 7.3). */
export class Metrics {
  readonly registry: Registry;
  readonly #context: Context;
  readonly #deploys: Counter;
  readonly #calls: Histogram;
  readonly #running: Gauge;
  readonly #host = hostname().replaceAll('.', '-');
  readonly #up: Gauge;
  readonly #ofNodes: ReadonlyMap<string, Gauge>;

  constructor(context: Context, membership: Membership, registry: Registry) {
    this.#context = context;
    this.registry = registry;
    const { view, scheduler, measures, clock } = context;
    const registers = [registry];
    this.#deploys = new Counter({
      name: 'core_deploy',
      help: 'instances that were begun to be deployed',
      labelNames: ['hostname'],
      registers,
    });
    this.#up = new Gauge({
      name: 'pod_node_up',
      help: 'nodes that report',
      labelNames: ['hostname', 'podname', 'nodename'],
      registers,
    });
    this.#ofNodes = new Map(
      scheduler.metricDescriptions.map(({ name, help, labels }) => [
        name,
        new Gauge({ name, help, labelNames: [...labels], registers }),
      ]),
    );
    this.#calls = new Histogram({
      name: 'eru_rpc_seconds',
      help: 'duration of calls, streams to their end',
      labelNames: ['method', 'outcome'],
      buckets: secondBuckets,
      registers,
    });
    this.#running = new Gauge({
      name: 'eru_rpc_running',
      help: 'calls that are being answered',
      labelNames: ['method'],
      registers,
    });
    gauge('eru_operations', 'operations in flight, of all cores', () => view.operations.size);
    gauge('eru_workloads', 'workloads with a record', () => view.workloads.size);
    gauge('eru_nodes', 'nodes with a record', () => view.nodes.size);
    gauge('eru_view_age_seconds', 'how old what is read here is at most', () => view.ageMs / 1000);
    gauge('eru_writable', '1 while this core can change anything', () => (membership.unfit() === undefined ? 1 : 0));
    measures.register(registry);
    // Process, memory, and the delay of the event loop (nodejs_eventloop_lag_…).
    collectDefaultMetrics({ register: registry });
    view.subscribe(({ table, before, after }) => {
      if (table !== 'operations' || before === undefined || after !== undefined) return;
      const { kind, owner, createdAtMs } = before.value as OperationRecord;
      if (!membership.isMine(owner)) return;
      measures.operations.observe({ kind }, Math.max(0, clock.now() - createdAtMs) / 1000);
    });

    function gauge(name: string, help: string, value: () => number): void {
      const made: Gauge = new Gauge({ name, help, registers, collect: () => made.set(value()) });
    }
  }

  /** The figures of all nodes as they are now, in Prometheus' text form. */
  async text(): Promise<string> {
    const { view, scheduler } = this.#context;
    this.#up.reset();
    for (const known of this.#ofNodes.values()) known.reset();
    let slice = 0;
    for (const [name, { value: node }] of view.nodes) {
      if (++slice % nodesPerSlice === 0) await new Promise((resolve) => setImmediate(resolve));
      this.#up.set({ hostname: this.#host, podname: node.pod, nodename: name }, view.isAvailable(name) ? 1 : 0);
      const resources = view.nodeResources.get(name)?.value;
      if (resources === undefined) continue;
      for (const metric of scheduler.metrics(node.pod, name, resources)) {
        const description = scheduler.metricDescriptions.find((one) => one.name === metric.name);
        const labels = Object.fromEntries(
          (description?.labels ?? []).map((label, index) => [label, metric.labels[index] ?? '']),
        );
        this.#ofNodes.get(metric.name)?.set(labels, Number(metric.value));
      }
    }
    return this.registry.metrics();
  }

  deployed(instances: number): void {
    this.#deploys.inc({ hostname: this.#host }, instances);
  }

  /** Measures every call, streams to their end. */
  readonly observe: Observer = ({ method }) => this.#begin(`${method.parent.typeName}/${method.name}`);

  #begin(method: string): (error: unknown) => void {
    const stop = this.#calls.startTimer({ method });
    this.#running.inc({ method });
    return (error) => {
      stop({ outcome: error === undefined ? 'ok' : 'error' });
      this.#running.dec({ method });
    };
  }
}
