import { EruError, invalid } from '@eru/kit';
import type { Engine, EngineInfo } from '@eru/engines';
import type { NodeResources, Resources } from '@eru/scheduler';
import type { KeyValue } from '@eru/store';

import { noSuchNode, noSuchPod } from '../absent.ts';
import { learn } from '../operations/booking.ts';
import { caughtUp } from '../catch-up.ts';
import type { CommitResult, OwnWrite } from '../state/commit.ts';
import type { Context } from '../context.ts';
import { engineFor, isRemote, type EngineAddress, type Engines } from './engine-clients.ts';
import { withCapacitySet, withNodeAdded, withNodeRemoved } from '../external/kind-nodes.ts';
import { keys } from '../state/keys.ts';
import { machineOf } from './machine.ts';
import type { Tenure } from '../state/membership.ts';
import { checkName } from '../names.ts';
import {
  encode,
  type NodeRecord,
  type NodeResourcesRecord,
  type PodRecord,
  versioned,
  type Versioned,
} from '../state/records.ts';

export interface AddNodeRequest {
  name: string;
  endpoint: string;
  pod: string;
  ca: string;
  cert: string;
  key: string;
  labels: Record<string, string>;
  /** Kind -> node request; a kind that is absent takes its defaults from the machine. */
  resources: Resources;
  test: boolean;
}

export interface KnownNode {
  record: Versioned<NodeRecord>;
  resources: Versioned<NodeResourcesRecord>;
}

/** Both halves of a node; `not_found` with the original's text. */
export function nodeOf({ view }: Context, name: string): KnownNode {
  if (name === '') throw emptyName();
  const [record, resources] = [view.nodes.get(name), view.nodeResources.get(name)];
  if (record === undefined || resources === undefined) throw noSuchNode(name);
  return { record, resources };
}

/**
 * Asks the engine what the machine has and writes the node, both keys in one transaction, which also rewrites the pod: see
 * `removePod`. `exists`, `not_found` (pod), and what the engine and the resource kinds say.
 */
export async function addNode(
  context: Context,
  tenure: Tenure,
  engines: Engines,
  request: AddNodeRequest,
  signal: AbortSignal,
): Promise<{ record: NodeRecord; resources: NodeResources }> {
  const { name, pod, endpoint } = request;
  if (name === '') throw emptyName();
  if (pod === '') throw new EruError('invalid', 'pod name is empty');
  if (endpoint === '') throw new EruError('invalid', 'invalid node endpoint');
  checkName('node name', name);
  const { ca, cert, key, labels } = request;
  if (isRemote(endpoint)) throw joinInstead(endpoint);
  const info = await engineAt(engines, request).info({ signal, timeoutMs: context.limits.connectMs });
  const test = request.test || endpoint.startsWith('mock://');
  const record: NodeRecord = { v: 1, name, pod, endpoint, engine: info.type, labels, test, ca, cert, key };
  return addKnownNode(context, tenure, { record, info, resources: request.resources });
}

/**
 * Writes a node whose engine has said what the machine has. `joining` is written along, or asked what to write instead when
 * somebody else has changed it.
 */
export async function addKnownNode(
  context: Context,
  tenure: Tenure,
  node: { record: NodeRecord; info: EngineInfo; resources: Resources; joining?: Joining },
): Promise<{ record: NodeRecord; resources: NodeResources }> {
  const { record, info, resources: request, joining } = node;
  const { name, pod } = record;
  const made = context.scheduler.addNode(request, machineOf(info));
  if (context.view.nodes.get(name) !== undefined) throw exists(name);
  const resources: NodeResourcesRecord = { v: 1, ...made, cordon: false };
  if (context.view.pods.get(pod) === undefined) throw noSuchPod(pod);
  const write = (ends: readonly OwnWrite[]): Promise<CommitResult> =>
    writeNode(context, tenure, record, resources, ends, joining);
  await withNodeAdded(context, tenure, { name, request, machine: machineOf(info) }, write);
  return { record, resources };
}

/** The use of a join token, in the transaction that makes its node. */
export interface Joining {
  write: OwnWrite;
  /** What to write after all; throws when the token is not this machine's any more. */
  again(current: KeyValue | undefined): OwnWrite;
}

async function writeNode(
  context: Context,
  tenure: Tenure,
  record: NodeRecord,
  resources: NodeResourcesRecord,
  ends: readonly OwnWrite[],
  joining: Joining | undefined,
): Promise<CommitResult> {
  const { name, pod } = record;
  let join = joining?.write;
  let known = context.view.pods.get(pod);
  return context.turns.hold([`pod ${pod}`], async () => {
    known = context.view.pods.get(pod) ?? known;
    for (;;) {
      if (known === undefined) throw noSuchPod(pod);
      const result = await context.committer.commit(tenure, {
        own: [
          { key: keys.node(name), revision: 0, value: encode(record) },
          { key: keys.nodeResources(name), revision: 0, value: encode(resources) },
          ...(join === undefined ? [] : [join]),
          ...ends,
        ],
        shared: [{ key: keys.pod(pod), revision: known.modRevision, value: encode(known.value) }],
      });
      if (result.committed) return result;
      if (result.current.has(keys.node(name)) || result.current.has(keys.nodeResources(name))) throw exists(name);
      if (joining !== undefined) join = joining.again(result.current.get(joining.write.key));
      const current = result.current.get(keys.pod(pod));
      known = current === undefined ? undefined : versioned<PodRecord>(current);
    }
  });
}

/**
 * Refuses while a record or a slot is there. Every booking rewrites the node's resources, even a booking of nothing; a node
 * whose resources the transaction finds unchanged has no workload that the view does not know.
 */
export async function removeNode(context: Context, tenure: Tenure, name: string, signal: AbortSignal): Promise<void> {
  if (name === '') throw emptyName();
  const { view, store, committer, turns } = context;
  const write = (): Promise<void> =>
    turns.hold([`node ${name}`], async () => {
      for (;;) {
        const [record, resources] = await Promise.all([
          store.get(keys.node(name), { signal }),
          store.get(keys.nodeResources(name), { signal }),
        ]);
        if (record === undefined) throw noSuchNode(name);
        await caughtUp(context, resources?.modRevision ?? 0, signal);
        const slots = [...view.slots].some(([key, { value }]) => key.split('/')[1] === name && value.slots.length > 0);
        if (slots || view.workloadsOn(name).length > 0)
          throw new EruError('precondition', 'node not empty, still has workloads associated');
        const result = await committer.commit(tenure, {
          own: [
            { key: record.key, revision: record.modRevision },
            { key: keys.nodeResources(name), revision: resources?.modRevision ?? 0 },
          ],
          deletes: [keys.nodeStatus(name), keys.join(name)],
        });
        if (result.committed) return;
      }
    });
  await withNodeRemoved(context, tenure, name, write);
}

export interface SetNodeRequest {
  name: string;
  /** Empty leaves it; the same for the certificates and for `labels`. */
  endpoint: string;
  ca: string;
  cert: string;
  key: string;
  labels: Record<string, string>;
  /** Kind -> node request; none = capacity untouched. */
  resources: Resources;
  /** Amounts of `resources` are added to what is there. */
  delta: boolean;
  /** Undefined leaves it. */
  cordon: boolean | undefined;
}

/**
 * Changes definition, capacity and cordon in one transaction; calls that come after it use the new endpoint and
 * certificates, on every core that has heard of it. The node's record is always rewritten: it tells a lost reply from a conflict. */
export async function setNode(
  context: Context,
  tenure: Tenure,
  engines: Engines,
  request: SetNodeRequest,
): Promise<KnownNode> {
  const { name, endpoint } = request;
  const { committer, turns } = context;
  nodeOf(context, name);
  if (isRemote(endpoint)) {
    if (nodeOf(context, name).record.value.certificates === undefined) throw joinInstead(endpoint);
    if (!/^eru\+tls:\/\/\S+:\d+$/.test(endpoint)) throw invalid('endpoint', endpoint, 'write eru+tls://HOST:PORT');
  } else if (endpoint !== '') engineAt(engines, changedRecord(nodeOf(context, name).record.value, request));
  // What can be refused here is refused before anybody else is asked.
  changedResources(context, nodeOf(context, name).resources.value, request);
  const write = (): Promise<KnownNode> =>
    turns.hold([`node ${name}`], async () => {
      for (;;) {
        const { record, resources } = nodeOf(context, name);
        const [nextRecord, nextResources] = [
          changedRecord(record.value, request),
          changedResources(context, resources.value, request),
        ];
        const result = await committer.commit(tenure, {
          own: [{ key: keys.node(name), revision: record.modRevision, value: encode(nextRecord) }],
          shared: [{ key: keys.nodeResources(name), revision: resources.modRevision, value: encode(nextResources) }],
        });
        if (result.committed) return nodeOf(context, name);
        learn(context, result, [keys.node(name), keys.nodeResources(name)]);
      }
    });
  return withCapacitySet(context, tenure, request, write);
}

function changedRecord(record: NodeRecord, { endpoint, ca, cert, key, labels }: SetNodeRequest): NodeRecord {
  return {
    ...record,
    endpoint: endpoint || record.endpoint,
    ca: ca || record.ca,
    cert: cert || record.cert,
    key: key || record.key,
    labels: Object.keys(labels).length > 0 ? labels : record.labels,
  };
}

function changedResources(
  { scheduler }: Context,
  record: NodeResourcesRecord,
  { resources, delta, cordon }: SetNodeRequest,
): NodeResourcesRecord {
  const capacity = Object.keys(resources).length === 0 ? {} : scheduler.setCapacity(record, resources, { delta });
  return { ...record, ...capacity, cordon: cordon ?? record.cordon };
}

function engineAt(engines: Engines, address: EngineAddress): Engine {
  const { endpoint } = address;
  try {
    return engineFor(engines, address);
  } catch (cause) {
    throw new EruError('invalid', `endpoint invalid ${endpoint}: invalid node endpoint`, {
      cause,
      details: { field: 'endpoint' },
    });
  }
}

/** Core believes a daemon on another machine only by a certificate that it has signed. */
function joinInstead(endpoint: string): EruError {
  return new EruError(
    'invalid',
    `endpoint: ${endpoint}: a machine of this kind joins by itself; make a token with \`eru node token\``,
    { details: { field: 'endpoint' } },
  );
}

function emptyName(): EruError {
  return new EruError('invalid', 'node name is empty');
}

export function exists(name: string): EruError {
  return new EruError('exists', 'node already exists', { details: { node: name } });
}
