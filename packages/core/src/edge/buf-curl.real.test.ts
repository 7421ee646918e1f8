import { pb } from '@eru/contract';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { Registry } from 'prom-client';
import { afterEach, expect, test } from 'vitest';

import { startBed, type Bed, type Contract } from './core-rpc/contract-bed.suite.ts';
import { clusterContracts } from './core-rpc/contract-cluster.suite.ts';
import { workloadContracts } from './core-rpc/contract-workloads.suite.ts';

const root = path.resolve(import.meta.dirname, '../../../..');
const buf = path.join(root, 'node_modules/.bin/buf');
const schema = path.join(root, 'packages/contract/proto');
const contracts = { ...clusterContracts, ...workloadContracts } as Readonly<Record<string, Contract>>;

let bed: Bed;
afterEach(() => bed.close());

interface Outcome {
  code: number | null;
  /** What was answered, one JSON text for each message. */
  answers: object[];
  stderr: string;
}

/** Requests are JSON texts one after the other. */
async function bufCurl(method: string, request: object): Promise<Outcome> {
  const data = (Array.isArray(request) ? request : [request]).map((one) => JSON.stringify(one)).join('\n');
  const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;
  const url = `http://${bed.address}/pb.CoreRPC/${method}`;
  const child = spawn(
    buf,
    ['curl', '--schema', schema, '--protocol', 'grpc', '--http2-prior-knowledge', '-d', '@-', url],
    {
      env,
    },
  );
  const printed = { stdout: '', stderr: '' };
  child.stdout.on('data', (part: Buffer) => (printed.stdout += part.toString()));
  child.stderr.on('data', (part: Buffer) => (printed.stderr += part.toString()));
  child.stdin.end(data);
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, answers: documents(printed.stdout), stderr: printed.stderr };
}

/** Pretty-printed JSON objects that follow each other. */
function documents(text: string): object[] {
  const parts = text.split(/^(?=\{)/m).filter((part) => part.trim() !== '');
  return parts.map((part) => JSON.parse(part) as object);
}

/** Resolves once the core answers a call of this method. */
async function stands(registry: Registry, method: string): Promise<void> {
  for (;;) {
    const running = await registry.getSingleMetric('eru_rpc_running')?.get();
    const found = running?.values.find(({ labels }) => labels['method'] === `pb.CoreRPC/${method}`);
    if (found !== undefined && found.value > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test.each(pb.CoreRPC.methods.map(({ name, localName }) => [name, localName]))(
  'a client that is not ours: %s',
  async (name, localName) => {
    const registry = new Registry();
    bed = await startBed({ registry });
    const { prepare, good, answers, endless, bad } = contracts[localName] as Contract;
    await prepare?.(bed);
    const outcome = bufCurl(name, good(bed));
    if (endless !== undefined) {
      await stands(registry, name);
      await endless(bed);
      bed.stop();
    }
    expect(await outcome).toMatchObject({ code: 0, stderr: '', answers: answers(bed) });
    const [first] = bad;
    if (first === undefined || !['AddPod', 'CreateWorkload'].includes(name)) return;
    const [request, , text] = first(bed);
    const { code, stderr } = await bufCurl(name, request);
    expect(code).not.toBe(0);
    expect(JSON.parse(stderr)).toMatchObject({ message: text });
  },
);
