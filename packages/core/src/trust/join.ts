import { describeCertificate } from '@eru/contract';
import type { Engine, EngineInfo } from '@eru/engines';
import { EruError, invalid } from '@eru/kit';
import type { KeyValue } from '@eru/store';

import { noSuchNode } from '../absent.ts';
import { authorityOf } from './authority.ts';
import { learn } from '../operations/booking.ts';
import type { OwnWrite } from '../state/commit.ts';
import type { Context } from '../context.ts';
import { isRemote, type Engines } from '../nodes/engine-clients.ts';
import { joinOf, lostJoin, stillMine } from './join-tokens.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import { signForNode } from '../nodes/certificates.ts';
import { addKnownNode, exists } from '../nodes/nodes.ts';
import { encode, type JoinRecord, type NodeRecord, type Versioned } from '../state/records.ts';

/** How far a machine's clock may be off: certificates begin an hour early. */
const clockToleranceMs = 10 * 60_000;

export interface JoinRequest {
  /** `eru_join_SECRET` */
  secret: string;
  /** `eru+tls://HOST:PORT`, where the machine's daemon listens with `certificate`; empty = only an agent joins, for a node that is there. */
  endpoint: string;
  /** Self-signed, with the key that the machine keeps. */
  certificate: string;
  /** By the machine's clock. */
  nowMs: number;
}

export interface Joined {
  node: string;
  pod: string;
  /** Of the authority, for the machine's key. */
  certificate: string;
  authority: string;
}

/**
 * Lets a machine in: looks at its daemon, then signs its key, registers the node and uses up the token in one transaction.
 * Asked again with the same key it does so again, because the answer may have been lost.
 * @throws EruError `unauthenticated` (the token), `precondition` (a clock, a daemon that core cannot reach), `exists`, `not_found`
 */
export async function joinNode(
  context: Context,
  tenure: Tenure,
  { cluster, engines }: { cluster: string; engines: Engines },
  request: JoinRequest,
  signal: AbortSignal,
): Promise<Joined> {
  const { view, clock } = context;
  const join = joinOf(context, request.secret);
  const { node, pod, usedBy } = join.value;
  checkClock(clock.now(), request.nowMs);
  const { keyHash } = describeCertificate(request.certificate);
  if (usedBy !== undefined && usedBy !== keyHash) throw lostJoin(node);
  const known = view.nodes.get(node);
  // A token for a new node is good for an existing one only after it has made it.
  if (known !== undefined && pod !== '' && usedBy === undefined) throw exists(node);
  if (known === undefined && (pod === '' || request.endpoint === ''))
    throw request.endpoint === '' && pod !== '' ? noDaemonYet(node) : noSuchNode(node);
  const authority = await authorityOf(context, tenure, cluster);
  await context.certificates.ready(signal);
  const info = request.endpoint === '' ? undefined : await look(context, engines, request, node, signal);
  const { cert, fingerprint } = await signForNode(authority, clock, node, request.certificate);
  if (known === undefined && info !== undefined) {
    const { endpoint } = request;
    const record: NodeRecord = {
      v: 1,
      name: node,
      pod,
      endpoint,
      engine: info.type,
      ...plain,
      certificates: [fingerprint],
    };
    await addKnownNode(context, tenure, { record, info, resources: {}, joining: use(join, keyHash) });
  } else {
    await replaceMachine(context, tenure, join, { keyHash, fingerprint, info, endpoint: request.endpoint });
  }
  return { node, pod: view.nodes.get(node)?.value.pod ?? pod, certificate: cert, authority: authority.cert };
}

const plain = { labels: {}, test: false, ca: '', cert: '', key: '' } as const;

/** The machine of a node that stays: its workloads and bookings are what they are. */
async function replaceMachine(
  context: Context,
  tenure: Tenure,
  join: Versioned<JoinRecord>,
  machine: { keyHash: string; fingerprint: string; info: EngineInfo | undefined; endpoint: string },
): Promise<void> {
  const { view, committer, turns } = context;
  const { node } = join.value;
  const { keyHash, fingerprint, info, endpoint } = machine;
  const joining = use(join, keyHash);
  let { write } = joining;
  await turns.hold([`node ${node}`], async () => {
    for (;;) {
      const record = view.nodes.get(node);
      if (record === undefined) throw noSuchNode(node);
      const next: NodeRecord = {
        ...record.value,
        ...(info !== undefined && { endpoint, engine: info.type }),
        certificates: [fingerprint],
      };
      const own = [{ key: keys.node(node), revision: record.modRevision, value: encode(next) }, write];
      const result = await committer.commit(tenure, { own });
      if (result.committed) return;
      write = joining.again(result.current.get(write.key));
      learn(context, result, [keys.node(node)]);
    }
  });
}

/** The token is kept as used for as long as it would have lived. */
function use(
  join: Versioned<JoinRecord>,
  keyHash: string,
): { write: OwnWrite; again(current: KeyValue | undefined): OwnWrite } {
  const at = ({ value, modRevision, lease }: Versioned<JoinRecord>): OwnWrite => ({
    key: keys.join(value.node),
    revision: modRevision,
    value: encode({ ...value, usedBy: keyHash }),
    ...(lease !== undefined && { lease }),
  });
  return {
    write: at(join),
    again: (current) => {
      const now = stillMine(current, keyHash);
      if (now === undefined || now.value.hash !== join.value.hash) throw lostJoin(join.value.node);
      return at(now);
    },
  };
}

/** Asks the daemon what the machine has, over the connection that every later call will take. */
async function look(
  { certificates, limits }: Context,
  engines: Engines,
  { endpoint, certificate }: JoinRequest,
  node: string,
  signal: AbortSignal,
): Promise<EngineInfo> {
  if (!isRemote(endpoint)) throw invalid('endpoint', endpoint, 'write eru+tls://HOST:PORT');
  const { cert, key } = certificates.current();
  const { fingerprint } = describeCertificate(certificate);
  const peer = { name: `joining:${node}`, admits: (shown: string) => shown === fingerprint };
  const reach = { ca: certificate, cert, key, peer };
  let engine: Engine;
  try {
    engine = engines.get(endpoint, reach);
    return await engine.info({ signal, timeoutMs: limits.connectMs });
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new EruError(
      'precondition',
      `core cannot reach the node daemon at ${endpoint.slice('eru+tls://'.length)}: ${EruError.from(cause).message}; open the port to core, or name the address with --advertise`,
      { cause, details: { field: 'endpoint' } },
    );
  } finally {
    engines.drop?.(endpoint, reach);
  }
}

function noDaemonYet(node: string): EruError {
  return new EruError(
    'precondition',
    `node ${node} is not there yet: its daemon joins first (\`eru runtime --join\`), or \`eru node add\` makes it; an agent alone joins a node that is there`,
    { details: { node } },
  );
}

function checkClock(ours: number, theirs: number): void {
  const offMs = theirs - ours;
  if (Math.abs(offMs) <= clockToleranceMs) return;
  throw new EruError(
    'precondition',
    `the clock of this machine is ${Math.round(Math.abs(offMs) / 60_000)} minutes ${offMs > 0 ? 'ahead of' : 'behind'} core's; set it, then join again`,
  );
}
