import { z } from 'zod';

import type { PoolDefinition } from '../ipam/pool.ts';
import type { Reservation } from '../ipam/records.ts';
import type { Finding } from './diagnose.ts';
import type { declareSchema, IntentStatus } from './intent.ts';
import type { NetworkDefinition } from './network-definition.ts';
import type { Repair } from './reconciler.ts';
import type { attachSchema, Sandbox } from './sandbox.ts';
import { connectSchema, interfaceSchema, kindSchema } from './sandbox.ts';

const text = z.string().min(1);
const epoch = z.int().optional();

/** Requests that are no definitions of their own. */
export const requests = {
  named: z.strictObject({ name: text }),
  sandbox: z.strictObject({ id: text }),
  none: z.strictObject({}),
  disconnect: z.strictObject({ id: text, name: text }),
  reserve: z.strictObject({
    owner: text,
    kind: kindSchema,
    network: connectSchema.shape.network,
    policy: z.enum(['fixed', 'ephemeral']).default('fixed'),
    /** Released by itself after so long, unless transferred or bound. */
    expiresInMs: z.int().min(1).optional(),
  }),
  release: z.strictObject({ owner: text, ifname: text.optional(), epoch, lost: z.boolean().optional() }),
  transfer: z.strictObject({ from: text, to: text, ifname: text.optional(), epoch, lost: z.boolean().optional() }),
  reservations: z.strictObject({ owner: text.optional(), ip: text.optional() }),
  adopt: z.strictObject({ from: text, container: text }),
  amend: z.strictObject({ container: text, add: interfaceSchema.optional(), remove: text.optional() }),
  forget: z.strictObject({ container: text }),
  intents: z.strictObject({ container: text.optional() }),
  ipam: z.strictObject({
    command: z.enum(['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION']),
    containerId: z.string().default(''),
    ifname: z.string().default(''),
    args: z.string().default(''),
    config: z.looseObject({}),
  }),
} as const;

type Asked<Schema extends z.ZodType> = z.input<Schema>;

/** A pool and how full it is, as this node sees it. */
export interface PoolStatus {
  definition: PoolDefinition;
  capacity: number;
  reserved: number;
  bound: number;
  quarantined: number;
  /** By node. */
  blocks: { node: string; cidr: string }[];
  /** How often it was found full since this daemon began. */
  exhausted: number;
}

export interface NetworkStatus {
  definition: NetworkDefinition;
  /** Of its pools. */
  cidrs: string[];
}

/** Where a daemon keeps what others look at. */
export interface DaemonStatus {
  node: string;
  /** Its state. */
  folder: string;
  namespaceFolder: string;
  pluginFolders: readonly string[];
}

/** What a CNI plugin prints, and its exit code. */
export interface IpamAnswer {
  code: number;
  output: string;
}

/**
 * What a node's network daemon does for engines, proxies, runtimes and people: the same in its process and through its
 * socket (`connectNetd`). Everything may be asked again after a lost answer. Errors are EruErrors, by code: `invalid`,
 * `not_found`, `exists` (somebody has it), `precondition`, `no_capacity` (a pool is full), `fenced` (handed over since),
 * `busy`, `failed` (a plugin refused), `timeout`, `unavailable` (the store or the daemon is silent).
 */
export interface NetworkService {
  /** A namespace with these interfaces, addresses bound. Nothing is left when it fails. */
  attach(request: Asked<typeof attachSchema>, signal?: AbortSignal): Promise<Sandbox>;
  /** Plugins undone, addresses unbound (fixed ones stay the owner's), namespace gone. No error when there is nothing. */
  detach(request: Asked<typeof requests.sandbox>, signal?: AbortSignal): Promise<void>;
  /** One more interface in a living namespace, or one less (by interface or network). */
  connect(request: Asked<typeof connectSchema>, signal?: AbortSignal): Promise<Sandbox>;
  disconnect(request: Asked<typeof requests.disconnect>, signal?: AbortSignal): Promise<Sandbox | null>;
  /** What is attached on this node. */
  describe(request: Asked<typeof requests.sandbox>, signal?: AbortSignal): Promise<Sandbox>;
  sandboxes(request?: Asked<typeof requests.none>, signal?: AbortSignal): Promise<Sandbox[]>;

  /** Addresses, MAC and ports for an owner, before or without an attachment. */
  reserve(request: Asked<typeof requests.reserve>, signal?: AbortSignal): Promise<Reservation>;
  release(request: Asked<typeof requests.release>, signal?: AbortSignal): Promise<Reservation[]>;
  transfer(request: Asked<typeof requests.transfer>, signal?: AbortSignal): Promise<Reservation[]>;
  /** Of the whole cluster: all, of one owner, or of one address. */
  reservations(request?: Asked<typeof requests.reservations>, signal?: AbortSignal): Promise<Reservation[]>;

  /** What a container is to have when it starts, before its engine knows it. Reserves at once what is fixed. */
  declare(request: Asked<typeof declareSchema>, signal?: AbortSignal): Promise<IntentStatus>;
  /** The container of a temporary name has an id now: declaration and addresses are its own from here on. */
  adopt(request: Asked<typeof requests.adopt>, signal?: AbortSignal): Promise<IntentStatus>;
  /** One network more or less (by interface or network), at once if the container runs, and at every later start. */
  amend(request: Asked<typeof requests.amend>, signal?: AbortSignal): Promise<IntentStatus>;
  /** The container is removed: what it held by itself is released. No error when nothing is declared. */
  forget(request: Asked<typeof requests.forget>, signal?: AbortSignal): Promise<Reservation[]>;
  /** All declared containers of this node, or one (an empty list when it is not ours). */
  intents(request?: Asked<typeof requests.intents>, signal?: AbortSignal): Promise<IntentStatus[]>;

  putNetwork(request: unknown, signal?: AbortSignal): Promise<NetworkDefinition>;
  removeNetwork(request: Asked<typeof requests.named>, signal?: AbortSignal): Promise<void>;
  networks(request?: Asked<typeof requests.none>, signal?: AbortSignal): Promise<NetworkStatus[]>;
  putPool(request: unknown, signal?: AbortSignal): Promise<PoolDefinition>;
  removePool(request: Asked<typeof requests.named>, signal?: AbortSignal): Promise<void>;
  pools(request?: Asked<typeof requests.none>, signal?: AbortSignal): Promise<PoolStatus[]>;

  about(request?: Asked<typeof requests.none>, signal?: AbortSignal): Promise<DaemonStatus>;
  /** Compares what is declared, attached and real; empty = all is well. */
  diagnose(request?: Asked<typeof requests.none>, signal?: AbortSignal): Promise<Finding[]>;
  /** One round of the reconciler now. What it does needs two rounds to agree. */
  reconcile(request?: Asked<typeof requests.none>, signal?: AbortSignal): Promise<Repair[]>;
  /** One call of a CNI IPAM plugin, for runtimes that are not ours. */
  ipam(request: Asked<typeof requests.ipam>, signal?: AbortSignal): Promise<IpamAnswer>;
}

/** A daemon, open or opened when it is asked. */
export type Served = NetworkService & {
  /** How much its reconciler has put right. */
  readonly repairs: number;
};

/** All verbs of the socket. */
export const verbs = [
  'attach',
  'detach',
  'connect',
  'disconnect',
  'describe',
  'sandboxes',
  'reserve',
  'release',
  'transfer',
  'reservations',
  'declare',
  'adopt',
  'amend',
  'forget',
  'intents',
  'putNetwork',
  'removeNetwork',
  'networks',
  'putPool',
  'removePool',
  'pools',
  'about',
  'diagnose',
  'reconcile',
  'ipam',
] as const satisfies readonly (keyof NetworkService)[];
