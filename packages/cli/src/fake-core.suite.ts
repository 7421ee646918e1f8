import { writeEndpoint } from '@eru/client';
import type { ServiceHandlers } from '@eru/contract';
import { create, eru, mount, pb, serve } from '@eru/contract';
import { EruError } from '@eru/kit';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { PassThrough, Writable } from 'node:stream';

import type { Output } from './context.ts';
import { runCli } from './program.ts';

const credential = { username: 'eru', password: 'secret' };

export interface FakeCore {
  address: string;
  data: string;
  /** Runs the cli against it, as from a data folder that `eru up` has written. */
  run: (argv: readonly string[], options?: RunOptions) => Promise<Outcome>;
  close: () => Promise<void>;
}

export interface RunOptions {
  stdin?: string;
  env?: Record<string, string>;
  signal?: AbortSignal;
  /** Told of what is printed so far, each time. What it throws is the error of standard output. */
  onOutput?: (stdout: string) => void;
}

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** A core of canned answers on a free port, which wants a credential. */
export async function startFakeCore(handlers: {
  core?: ServiceHandlers<typeof pb.CoreRPC>;
  eru?: ServiceHandlers<typeof eru.Eru>;
}): Promise<FakeCore> {
  const serving = await serve({
    listen: '127.0.0.1:0',
    services: [mount(pb.CoreRPC, handlers.core ?? {}), mount(eru.Eru, handlers.eru ?? {})],
    authenticate: ({ metadata }) => {
      const given = metadata.get(credential.username);
      if (given === undefined) throw new EruError('unauthenticated', 'invalid grpc username');
      if (given !== credential.password) throw new EruError('unauthenticated', 'invalid grpc password');
    },
  });
  const data = await mkdtemp(path.join(os.tmpdir(), 'eru-cli-'));
  await writeEndpoint(data, { address: serving.address, ...credential });
  return {
    address: serving.address,
    data,
    run: (argv, options = {}) => runCommand(argv, { ...options, env: { ERU_DATA: data, ...options.env } }),
    close: async () => {
      await serving.close();
      await rm(data, { recursive: true, force: true });
    },
  };
}

export async function runCommand(argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const stdin = new PassThrough();
  stdin.end(options.stdin ?? '');
  const printed = { stdout: '', stderr: '' };
  const sink = (name: 'stdout' | 'stderr'): Output =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        printed[name] += chunk.toString();
        try {
          if (name === 'stdout') options.onOutput?.(printed.stdout);
          done();
        } catch (error) {
          done(error as Error);
        }
      },
    });
  const code = await runCli(argv, {
    version: '1.2.3',
    stdin,
    stdout: sink('stdout'),
    stderr: sink('stderr'),
    env: options.env ?? {},
    signal: options.signal ?? new AbortController().signal,
  });
  return { code, ...printed };
}

export const id = (digit: string): string => digit.repeat(64);

/** A healthy workload of app `hello`; `status` says what is different. */
export function workload(
  name: string,
  digit: string,
  status: Partial<Omit<eru.RunStatus, '$typeName' | '$unknown'>> = {},
): eru.Workload {
  const limits = create(eru.LimitsSchema, { cpu: 0.25, memory: 64n * 1024n ** 2n });
  const healthy = { state: 'running', running: true, healthy: true, effective: limits, startedAt: 1_700_000_001_000n };
  return create(eru.WorkloadSchema, {
    record: create(pb.WorkloadSchema, {
      id: id(digit),
      name,
      podname: 'default',
      nodename: 'n1',
      publish: { host: '127.0.0.1:4000' },
      createTime: 1_700_000_000n,
    }),
    app: 'hello',
    entrypoint: 'web',
    engine: 'process',
    requested: limits,
    status: create(eru.RunStatusSchema, { ...healthy, ...status }),
  });
}

/** Resolves words as core does. */
export function lister(
  all: () => readonly eru.Workload[],
): NonNullable<ServiceHandlers<typeof eru.Eru>['listWorkloads']> {
  return async function* listWorkloads({ words, app }) {
    const means = ({ record }: eru.Workload, word: string): boolean =>
      record?.name === word || record?.id.startsWith(word) === true;
    for (const word of words)
      if (!all().some((item) => means(item, word))) throw new EruError('not_found', `no workload is called ${word}`);
    for (const item of all())
      if ((app === '' || item.app === app) && (words.length === 0 || words.some((word) => means(item, word))))
        yield item;
  };
}
