import { z } from 'zod';

import type { Reservation } from '../ipam/records.ts';
import type { InterfaceRequest, Sandbox } from './sandbox.ts';
import { interfaceSchema } from './sandbox.ts';

const text = z.string().min(1);

export const declareSchema = z.strictObject({
  /** The container's id; with `expiresInMs` a temporary name, until `adopt` tells the id. */
  container: text,
  /** Whose the addresses are, if they are to outlive the container. Absent: the container's, and they go with it. */
  owner: text.optional(),
  /** What the owner holds goes with this container, or the last of several, whoever removes it. Else it stays the owner's. */
  releasesOwner: z.boolean().optional(),
  networks: z.array(interfaceSchema).min(1),
  /** `fixed`: reserved from now on until the container is removed. `ephemeral`: it has addresses while it runs. */
  policy: z.enum(['fixed', 'ephemeral']).default('ephemeral'),
  /** Forgotten by itself after so long, unless adopted. */
  expiresInMs: z.int().min(1).optional(),
  /** The namespace and its interfaces stay over a stop too; they go with the container. */
  keepNetns: z.boolean().default(false),
  /** Further names of the container in its own hosts file. */
  aliases: z.array(z.string().regex(/^[A-Za-z0-9_.-]+$/, 'write letters, digits, _, . and -')).default([]),
  /** Who knows whether the container is there still. `other`: nobody; it stays declared until it is forgotten. */
  engine: z.enum(['docker', 'other']).default('docker'),
});

/** As parsed. */
export type DeclareRequest = z.infer<typeof declareSchema>;

/** What a container is to have on our networks whenever it runs. */
export interface Intent extends Omit<DeclareRequest, 'networks' | 'expiresInMs'> {
  readonly networks: readonly (InterfaceRequest & { ifname: string })[];
  /** Wall clock, milliseconds. */
  readonly createdAt: number;
  /** Of a temporary name. */
  readonly expiresAt?: number;
  /** The temporary name whose addresses it is taking over. */
  readonly adopts?: string;
}

/** An intent, what is reserved for it, and what is attached now. */
export interface IntentStatus extends Intent {
  readonly owner: string;
  readonly reservations: readonly Reservation[];
  /** Null while the container does not run. */
  readonly sandbox: Sandbox | null;
}

export function ownerOf({ owner, container }: Pick<Intent, 'owner' | 'container'>): string {
  return owner ?? container;
}
