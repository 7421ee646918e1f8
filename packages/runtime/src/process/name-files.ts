import { addressList, type WorkloadSpec } from '@eru/engines';
import { readIfExists } from '@eru/kit';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { insideRoot } from './host-view.ts';
import { rootOf, type Place } from './launcher.ts';

/** A file of ours, and where the workload sees it. */
interface NameFile {
  source: string;
  target: string;
}

/** Where systemd's resolver writes the servers that it asks itself. */
const resolvedFile = '/run/systemd/resolve/resolv.conf';

export function hostNameOf({ name }: Pick<WorkloadSpec, 'name'>): string {
  return name.replaceAll(/[^A-Za-z0-9-]/g, '-').slice(0, 63);
}

/**
 * Writes the resolver's files, to be bound over those of the root: where the request has words for them, and in a namespace of its
 * own, where the host's loopback is not the workload's. Files that are there change in place, so that who has them bound sees it.
 */
export async function writeNameFiles({ folder, record, network }: Place): Promise<NameFile[]> {
  const { spec } = record;
  const inRoot = async (file: string): Promise<string> =>
    (await readIfExists(insideRoot(rootOf(spec), file) ?? '')) ?? '';
  const texts: Record<string, string> = {};
  if (spec.dns.length > 0) texts['resolv.conf'] = resolverText(spec.dns, network?.search ?? []);
  else if (network !== undefined)
    texts['resolv.conf'] =
      network.nameservers.length > 0
        ? resolverText(network.nameservers, network.search)
        : reachable(await inRoot('etc/resolv.conf')) || reachable((await readIfExists(resolvedFile)) ?? '');
  const added = spec.extraHosts.map((entry) => entry.replace(/^([^:]+):(.*)$/, '$2 $1\n'));
  for (const address of Object.values(network?.addresses ?? {}).flatMap(addressList))
    added.push(`${address} ${hostNameOf(spec)}\n`);
  if (added.length > 0 || network !== undefined)
    texts['hosts'] = `${(await inRoot('etc/hosts')).trimEnd()}\n${added.join('')}`;
  return Promise.all(
    Object.entries(texts).map(async ([name, text]) => {
      const source = path.join(folder.run, name);
      await writeFile(source, text);
      return { source, target: `/etc/${name}` };
    }),
  );
}

function resolverText(servers: readonly string[], search: readonly string[]): string {
  const domains = search.length > 0 ? `search ${search.join(' ')}\n` : '';
  return domains + servers.map((server) => `nameserver ${server}\n`).join('');
}

/** Empty when no server is left: what listens on the host's loopback is not reached from another namespace. */
function reachable(text: string): string {
  const lines = text.split('\n').filter((line) => !/^\s*nameserver\s+(127\.|::1\b)/.test(line));
  return lines.some((line) => /^\s*nameserver\s/.test(line)) ? lines.join('\n') : '';
}
