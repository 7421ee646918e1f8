import { ageHeader, eru, openApi, pb, type ServeOptions } from '@eru/contract';
import { Registry } from 'prom-client';

import { noBuilds, type BuildSettings } from '../build/build-settings.ts';
import type { Context } from '../context.ts';
import type { Engines } from '../nodes/engine-clients.ts';
import type { Membership } from '../state/membership.ts';
import { admission } from './access/admission.ts';
import { auditor } from './access/audit.ts';
import { Gate, type Credential } from './access/authentication.ts';
import { Candidates } from './candidates.ts';
import { coreRpc } from './core-rpc/core-rpc.ts';
import type { Edge } from './edge.ts';
import { eruRpc } from './eru/eru-rpc.ts';
import { forOwnNode } from './access/own-node.ts';
import { httpPaths } from './http-paths.ts';
import { Metrics } from './metrics.ts';
import { observed } from './observe.ts';
import { OperationLog } from './operation-log.ts';
import { defaultCallsPerSecond, RateLimit } from './access/rate-limit.ts';
import { toStatus } from './wire/status-codes.ts';

export interface CoreServicesOptions {
  /** The cluster's identity: `Core.cluster`. */
  identifier: string;
  version: string;
  engines: Engines;
  /** Wanted of every call; absent = everybody who reaches the port may do everything. */
  credential?: Credential;
  /** Of one caller on one address, in the long run; 0 = no limit. */
  callsPerSecond?: number;
  /** Absent: no images are built. */
  builds?: BuildSettings | undefined;
  /** Aborts when this core stops: endless streams end with OK. */
  closing: AbortSignal;
  /** Its own when absent. */
  registry?: Registry;
}

/** Everything that `serve` needs, but for where to listen. */
export interface CoreServices extends Required<
  Pick<ServeOptions, 'services' | 'toStatus' | 'http' | 'headers' | 'authenticate'>
> {
  metrics(): Promise<{ text: string; type: string }>;
  /** In place of the credential that this was made with; without one there is nothing to change. */
  setCredential(credential: Credential): void;
  setCallsPerSecond(calls: number): void;
}

export function coreServices(context: Context, membership: Membership, options: CoreServicesOptions): CoreServices {
  const { identifier, version, engines, credential, closing, registry = new Registry() } = options;
  const { callsPerSecond = defaultCallsPerSecond } = options;
  const candidates = new Candidates(context.view);
  const operations = new OperationLog(context.view, () => context.clock.now());
  closing.addEventListener(
    'abort',
    () => {
      candidates.close();
      operations.close();
    },
    { once: true },
  );
  const metrics = new Metrics(context, membership, registry);
  const gate = credential && new Gate(context, credential);
  const rates = new RateLimit(context.clock, callsPerSecond);
  const audit = auditor(context.logger, context.clock, (call) => gate?.principalOf(call));
  const edge: Edge = {
    context,
    membership,
    engines,
    candidates,
    operations,
    builds: options.builds ?? noBuilds,
    deployed: (instances) => metrics.deployed(instances),
    identifier,
    version,
    closing,
  };
  const figures = async (): Promise<{ text: string; type: string }> => ({
    text: await metrics.text(),
    type: registry.contentType,
  });
  return {
    metrics: figures,
    setCredential: (next) => gate?.setCredential(next),
    setCallsPerSecond: (calls) => rates.set(calls),
    authenticate: admission(gate, rates),
    services: [coreRpc(edge), eruRpc(edge)]
      .map((service) => forOwnNode(service, context.view, (call) => gate?.principalOf(call)?.caller))
      .map((service) => observed(observed(service, audit), metrics.observe)),
    toStatus,
    headers: () => {
      const { oldMs } = context.view;
      return oldMs === undefined ? undefined : { [ageHeader]: String(Math.round(oldMs)) };
    },
    http: httpPaths({
      metrics: figures,
      notReady: () => notReady(edge),
      admits: (request) => gate?.admits(request) ?? true,
      openApi: () => openApi([pb.CoreRPC, eru.Eru], version),
    }),
  };
}

function notReady({ context: { view }, membership, closing }: Edge): string | undefined {
  if (closing.aborted) return 'this core is stopping';
  const reason = membership.unfit()?.message;
  if (reason === undefined) return undefined;
  return view.oldMs === undefined ? reason : `${reason} (what is read is ${Math.round(view.oldMs / 1000)} s old)`;
}
