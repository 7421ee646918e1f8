import { pb } from '@eru/contract';
import { EruError } from '@eru/kit';
import { readFile } from 'node:fs/promises';
import os from 'node:os';

import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { nodeResourceView, nodeSheet, nodeView } from '../show/node-view.ts';
import { say, show, showList } from '../output.ts';
import * as values from '../spec/values.ts';

interface NodeListFlags {
  pod?: string;
  label?: string[];
}

export async function listNodes(context: Context, flags: NodeListFlags): Promise<undefined> {
  const labels = values.flagged('--label', values.labels, flags.label ?? []);
  const request = { podname: flags.pod ?? '', all: true, labels, timeoutInSecond: 10, skipInfo: true };
  const nodes = await withConnection(context, async ({ core }) => {
    const found: pb.Node[] = [];
    for await (const node of core.listPodNodes(request, { signal: context.signal })) found.push(node);
    return found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  });
  await showList(context, nodes, nodeView);
}

export async function getNode(context: Context, _flags: unknown, nodename: string): Promise<undefined> {
  const { signal } = context;
  await showNode(context, await withConnection(context, ({ core }) => core.getNode({ nodename }, { signal })));
}

export interface NodeFlags {
  endpoint?: string;
  ca?: string;
  cert?: string;
  key?: string;
  cpu?: string;
  share?: string;
  memory?: string;
  numaCpu?: string[];
  numaMemory?: string[];
  smtCpu?: string[];
  l3Cpu?: string[];
  socketCpu?: string[];
  reservedCpu?: string;
  storage?: string;
  volume?: string[];
  disk?: string[];
  rmDisk?: string;
  label?: string[];
  extraResources?: string;
}

export async function addNode(
  context: Context,
  flags: NodeFlags & { nodename?: string; test?: boolean },
  pod: string,
): Promise<undefined> {
  const nodename = values.flagged('--nodename', values.placeName, flags.nodename ?? os.hostname());
  if (flags.endpoint === undefined)
    throw new EruError(
      'invalid',
      '--endpoint: missing; write where the node is reached, such as unix:///run/eru/runtime.sock or tcp://10.0.0.7:2376',
    );
  const request = { nodename, podname: pod, test: flags.test ?? false, ...(await definitionOf(flags, false)) };
  const { signal } = context;
  const added = await withConnection(context, async ({ core }) => {
    await core.addNode(request, { signal });
    // The original's answer calls a node up before its first heartbeat, and says nothing of usage.
    return core.getNode({ nodename }, { signal });
  });
  await showNode(context, added);
}

export async function setNode(
  context: Context,
  flags: NodeFlags & { delta?: boolean; markWorkloadsDown?: boolean },
  nodename: string,
): Promise<undefined> {
  const delta = flags.delta ?? false;
  const request = {
    nodename,
    delta,
    workloadsDown: flags.markWorkloadsDown ?? false,
    ...(await definitionOf(flags, delta)),
  };
  const { signal } = context;
  await showNode(context, await withConnection(context, ({ core }) => core.setNode(request, { signal })));
}

/** Whether new workloads may come; those that are there stay. */
export function bypassNode(bypass: boolean) {
  return async (context: Context, _flags: unknown, nodename: string): Promise<undefined> => {
    const { signal } = context;
    const request = { nodename, bypass: bypass ? pb.TriOpt.TRUE : pb.TriOpt.FALSE };
    await withConnection(context, ({ core }) => core.setNode(request, { signal }));
    say(context, `node ${nodename} ${bypass ? 'takes no new workloads' : 'takes workloads again'}`);
  };
}

export async function removeNode(context: Context, _flags: unknown, nodename: string): Promise<undefined> {
  const { signal } = context;
  await withConnection(context, ({ core }) => core.removeNode({ nodename }, { signal }));
  say(context, `node ${nodename} removed`);
}

export async function nodeResource(
  context: Context,
  { fix = false }: { fix?: boolean },
  nodename: string,
): Promise<undefined> {
  const { signal } = context;
  const request = { opts: { nodename }, fix };
  await show(
    context,
    await withConnection(context, ({ core }) => core.getNodeResource(request, { signal })),
    nodeResourceView,
  );
}

async function showNode(context: Context, node: pb.Node): Promise<void> {
  await show(context, node, { ...nodeView, table: nodeSheet });
}

/** What add and set have in common. Amounts travel as text: in a delta they may be negative (reference/cli.md section 8). */
async function definitionOf(flags: NodeFlags, delta: boolean) {
  const size = delta ? values.sizeChange : values.size;
  const cpumem = given({
    cpu: flags.cpu,
    share: flags.share,
    memory: flags.memory === undefined ? undefined : String(values.flagged('--memory', size, flags.memory)),
    'numa-cpu': flags.numaCpu,
    'smt-cpu': flags.smtCpu,
    'l3-cpu': flags.l3Cpu,
    'socket-cpu': flags.socketCpu,
    'reserved-cpu': flags.reservedCpu,
    'numa-memory': flags.numaMemory?.map((text) => String(values.flagged('--numa-memory', size, text))),
  });
  const storage = given({
    storage: flags.storage === undefined ? undefined : String(values.flagged('--storage', size, flags.storage)),
    volumes: flags.volume,
    disks: flags.disk,
    'rm-disks': flags.rmDisk,
  });
  const extra = values.flagged('--extra-resources', values.resourceRequests, flags.extraResources ?? '{}');
  const kinds = Object.entries({ ...extra, cpumem, storage }).filter(
    ([, value]) => Object.keys(value as object).length > 0,
  );
  const [ca, cert, key] = await Promise.all([pem(flags.ca), pem(flags.cert), pem(flags.key)]);
  return {
    endpoint: flags.endpoint ?? '',
    labels: values.flagged('--label', values.labels, flags.label ?? []),
    resources: Object.fromEntries(kinds.map(([kind, value]) => [kind, Buffer.from(JSON.stringify(value))])),
    ca,
    cert,
    key,
  };
}

function given(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

async function pem(file: string | undefined): Promise<string> {
  if (file === undefined) return '';
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new EruError('invalid', `${file}: ${(cause as Error).message}`, { cause });
  }
}
