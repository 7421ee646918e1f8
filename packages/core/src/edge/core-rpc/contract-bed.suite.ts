import type { pb } from '@eru/contract';

import { collect, startTestCore, type TestCore } from '../harness.suite.ts';

/** A core with pods `pod` and `empty`, node `n1` of 4 cores in the first, and one running workload with a file. */
export interface Bed extends TestCore {
  /** Of the workload; its name is `app_web_` and six letters. */
  id: string;
}

/** What one method of the contract does with one good request and with bad ones. Requests and answers are in JSON's form. */
export interface Contract {
  /** Before the good request. */
  prepare?: (bed: Bed) => Promise<unknown>;
  /** For bidirectional methods all messages of the client. */
  good: (bed: Bed) => object;
  /** All answers, in order; as vitest matches objects. */
  answers: (bed: Bed) => object[];
  /** The stream has no end of its own: what makes it say something, once it stands; the core stops after it. */
  endless?: (bed: Bed) => Promise<unknown>;
  /** Request, code on the wire, text. */
  bad: ((bed: Bed) => [request: object, code: number, text: unknown])[];
  /** Requests that are good and whose failure is told in the stream, which ends with OK. */
  told?: ((bed: Bed) => [request: object, answers: object[]])[];
}

export type Contracts = Partial<Record<keyof typeof pb.CoreRPC.method, Contract>>;

/** Images are built in the pod that has a node. */
const builders = {
  scm: 'git',
  cloneTimeoutMs: 10_000,
  home: { hub: 'hub.example', namespace: '/team/' },
  pod: 'pod',
} as const;

export async function startBed(options: Parameters<typeof startTestCore>[0] = {}): Promise<Bed> {
  const core = await startTestCore({ builds: builders, ...options });
  const { rpc } = core;
  await rpc.addPod({ name: 'pod', desc: 'a pod' });
  await rpc.addPod({ name: 'empty' });
  await rpc.addNode({ nodename: 'n1', endpoint: 'mock://n1?cpus=4&memory=1G', podname: 'pod' });
  const [created] = await collect(
    rpc.createWorkload({
      name: 'app',
      podname: 'pod',
      image: 'image:1',
      count: 1,
      entrypoint: { name: 'web', commands: ['serve'] },
      labels: { tier: 'a' },
      data: { '/etc/app/config': Buffer.from('a=1') },
    }),
  );
  if (created === undefined || !created.success) throw new Error(created?.error);
  return { ...core, id: created.id };
}

export const absent = (key: string): string => `key: ${key}: bad \`Count\` value, entity count invalid`;
export const base64 = (text: string): string => Buffer.from(text).toString('base64');
/** A deploy that is good wherever it is used. */
export const deploy = {
  name: 'app',
  podname: 'pod',
  image: 'image:1',
  count: 1,
  entrypoint: { name: 'api', commands: ['serve'] },
};
