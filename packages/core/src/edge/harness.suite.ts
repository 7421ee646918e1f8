import { client, connect, eru, pb, serve, type Client, type ServerTls } from '@eru/contract';
import { SimulatedMachines } from '@eru/engines';
import { Closer, EruError, silentLogger, systemClock, systemRandom } from '@eru/kit';
import { builtinKinds, createScheduler } from '@eru/scheduler';
import { openMemoryStore } from '@eru/store';

import type { CoreLimits } from '../context.ts';
import { startCore, type Core } from '../core.ts';
import { coreServices, type CoreServicesOptions } from './services.ts';

/** A core on a memory store and simulated machines, behind a real port, with a client of each service. */
export interface TestCore {
  core: Core;
  machines: SimulatedMachines;
  /** Endpoints whose clients were dropped. */
  dropped: readonly string[];
  address: string;
  rpc: Client<typeof pb.CoreRPC>;
  eru: Client<typeof eru.Eru>;
  /** What it shows from now on, when it was started under TLS. */
  setTls(tls: ServerTls): void;
  /** Ends endless streams, as a core that stops does. */
  stop(): void;
  close(): Promise<void>;
}

/** `mock://NAME` is a test node, `sim://NAME` the same kind of machine that has to report. */
export async function startTestCore({
  limits = {},
  tls,
  ttlMs = 10_000,
  ...options
}: Partial<CoreServicesOptions> & {
  limits?: Partial<CoreLimits>;
  tls?: ServerTls;
  ttlMs?: number;
} = {}): Promise<TestCore> {
  const closer = new Closer();
  const base = { clock: systemClock, random: systemRandom, logger: silentLogger };
  const machines = new SimulatedMachines(base);
  const dropped: string[] = [];
  const engines = {
    drop: (endpoint: string) => void dropped.push(endpoint),
    get: (endpoint: string) => {
      if (!/^(mock|sim):/.test(endpoint)) throw new EruError('unsupported', `no engine serves ${endpoint}`);
      return machines.resolve(endpoint.replace('sim:', 'mock:')).engine();
    },
  };
  const store = await openMemoryStore();
  closer.add('store', () => store.close());
  const scheduler = createScheduler({ kinds: builtinKinds() });
  const core = await startCore({
    store,
    scheduler,
    engines,
    ...base,
    address: '10.0.0.1:5001',
    version: 'test',
    limits,
    ttlMs,
  });
  closer.add('core', () => core.close());
  const closing = new AbortController();
  const services = coreServices(core.context, core.membership, {
    identifier: core.cluster,
    version: 'test',
    engines,
    closing: closing.signal,
    ...options,
  });
  const serving = await serve({ listen: '127.0.0.1:0', ...(tls !== undefined && { tls }), ...services });
  closer.add('port', () => serving.close());
  closer.add('streams', () => closing.abort());
  const { credential } = options;
  const channel = connect(serving.address, {
    ...(credential !== undefined && { credentials: { [credential.username]: credential.password } }),
    ...(tls !== undefined && { tls: { ca: tls.cert } }),
  });
  closer.add('channel', () => channel.close());
  return {
    core,
    machines,
    dropped,
    address: serving.address,
    rpc: client(pb.CoreRPC, channel),
    eru: client(eru.Eru, channel),
    setTls: (next) => serving.setTls(next),
    stop: () => closing.abort(),
    close: () => closer.close(),
  };
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** `[code on the wire, text]` of a call that must fail. */
export async function failure(call: Promise<unknown>): Promise<[unknown, string]> {
  try {
    await call;
  } catch (error) {
    const known = EruError.from(error);
    return [known.details['grpcCode'], known.message];
  }
  throw new Error('the call should have failed');
}

export const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
export const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);
