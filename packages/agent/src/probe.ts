import http from 'node:http';
import https from 'node:https';
import net from 'node:net';

import { client, connect, health } from '@eru/contract';
import { EruError } from '@eru/kit';

import type { Health, Probe } from './health.ts';
import { statusIsHealthy } from './health.ts';

/** What is asked from outside the workload. */
export type NetworkProbe = Exclude<Probe, { type: 'exec' }>;

/** Runs one probe to its verdict; rejects only when aborted. */
export type RunProbe = (probe: NetworkProbe, limitMs: number, signal: AbortSignal) => Promise<Health>;

/** Redirects that one check follows, as Go's client does. */
const maxRedirects = 10;

export const runProbe: RunProbe = async (probe, limitMs, signal) => {
  const limit = AbortSignal.timeout(limitMs);
  const either = AbortSignal.any([signal, limit]);
  const address = `${net.isIPv6(probe.host) ? `[${probe.host}]` : probe.host}:${probe.port}`;
  const name = probe.type === 'http' ? `http://${address}${probe.path}` : `${probe.type} ${address}`;
  try {
    if (probe.type === 'tcp') {
      await connects(probe, either);
      return { healthy: true, reason: '' };
    }
    if (probe.type === 'grpc') {
      const said = await servingStatus(address, probe.service, limitMs, either);
      return said === 'SERVING'
        ? { healthy: true, reason: '' }
        : { healthy: false, reason: `${name} answered ${said}` };
    }
    const status = await statusAt(new URL(name), either);
    if (statusIsHealthy(status, probe.code)) return { healthy: true, reason: '' };
    const wanted = probe.code === 0 ? '200 to 499' : String(probe.code);
    return { healthy: false, reason: `${name} answered ${status}, not ${wanted}` };
  } catch (error) {
    signal.throwIfAborted();
    if (limit.aborted) return { healthy: false, reason: `${name}: no answer within ${limitMs / 1000} s` };
    return { healthy: false, reason: `${name}: ${EruError.from(error).message}` };
  }
};

function connects({ host, port }: { host: string; port: number }, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port, signal });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
  });
}

/** One call of `grpc.health.v1.Health/Check`, on a connection of its own, in clear text. */
async function servingStatus(address: string, service: string, limitMs: number, signal: AbortSignal): Promise<string> {
  const channel = connect(address);
  try {
    const { status } = await client(health.Health, channel).check({ service }, { signal, timeoutMs: limitMs });
    return health.HealthCheckResponse_ServingStatus[status] ?? String(status);
  } finally {
    channel.close();
  }
}

/** node:http, not fetch: fetch refuses a list of ports (6000, 6665, …) that a workload may well listen on. */
async function statusAt(first: URL, signal: AbortSignal): Promise<number> {
  let url = first;
  for (let redirects = 0; ; redirects++) {
    const { status, location } = await get(url, signal);
    if (location === undefined || status < 300 || status > 399) return status;
    if (redirects === maxRedirects) throw new EruError('failed', `stopped after ${maxRedirects} redirects`);
    url = new URL(location, url);
  }
}

function get(url: URL, signal: AbortSignal): Promise<{ status: number; location: string | undefined }> {
  return new Promise((resolve, reject) => {
    const { request } = url.protocol === 'https:' ? https : http;
    // A connection of its own for each check: a kept one would tell of the listener that was, not of the one that is.
    const asked = request(url, { signal, agent: false }, (answer) => {
      resolve({ status: answer.statusCode ?? 0, location: answer.headers.location });
      answer.destroy();
    });
    asked.once('error', reject);
    asked.end();
  });
}
