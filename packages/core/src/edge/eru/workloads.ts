import type { eru, ServiceHandlers } from '@eru/contract';
import { after } from '@eru/store';

import { noSuchNode } from '../../absent.ts';
import { redact } from '../../state/records.ts';
import { writeStatuses } from '../../operations/statuses.ts';
import { matches } from '../candidates.ts';
import type { Edge } from '../edge.ts';
import { findWorkloads } from '../find-workloads.ts';
import { fullWorkload, readReport } from '../wire/workload.ts';

/** Keys in one read of the store. */
const pageSize = 500;

export function eruWorkloadMethods({ context, membership }: Edge): ServiceHandlers<typeof eru.Eru> {
  const { view, store } = context;
  return {
    /** Records that are gone by the time they are sent are left out. */
    listWorkloads: async function* (filter) {
      const fits = [...view.workloads]
        .map(([, { value }]) => value)
        .filter(
          (record) =>
            (filter.app === '' || record.app === filter.app) &&
            (filter.entrypoint === '' || record.entrypoint === filter.entrypoint) &&
            (filter.node === '' || record.node === filter.node) &&
            (filter.pod === '' || record.pod === filter.pod) &&
            matches(record.labels, filter.labels),
        );
      const found = filter.words.length === 0 ? fits : findWorkloads(fits, filter.words);
      found.sort((a, b) => (a.name < b.name ? -1 : 1));
      for (const { id } of found) {
        const record = view.workloads.get(id)?.value;
        if (record !== undefined) yield fullWorkload(view, record);
      }
    },

    reportWorkloads: async ({ node, reports }) => {
      if (view.nodes.get(node) === undefined) throw noSuchNode(node);
      const isHere = (id: string): boolean => view.workloads.get(id)?.value.node === node;
      const here = reports
        .filter(({ id }) => isHere(id))
        .map(({ id, status, extension }) => ({ id, status: readReport(status, extension) }));
      const { unknown } = await writeStatuses(context, membership.current(), here);
      return { unknown: [...reports.flatMap(({ id }) => (isHere(id) ? [] : id)), ...unknown] };
    },

    /** All at one revision. */
    dumpStore: async function* ({ prefix }, { signal }) {
      let start = prefix === '' ? '\0' : prefix;
      let revision: number | undefined;
      for (;;) {
        const page = await store.range({
          start,
          end: `${prefix}\u{10ffff}`,
          limit: pageSize,
          signal,
          ...(revision !== undefined && { revision }),
        });
        revision = page.revision;
        for (const { key, value, createRevision, modRevision, version, lease } of page.kvs) {
          yield {
            key,
            value: shown(value),
            createRevision: BigInt(createRevision),
            modRevision: BigInt(modRevision),
            version: BigInt(version),
            leased: lease !== undefined,
          };
        }
        const last = page.kvs.at(-1);
        if (!page.more || last === undefined) return;
        start = after(last.key);
      }
    },
  };
}

/** The JSON of a value without its secrets; what is no JSON is shown as a JSON string. */
function shown(value: Uint8Array): string {
  const text = new TextDecoder().decode(value);
  try {
    return JSON.stringify(redact(JSON.parse(text)));
  } catch {
    return JSON.stringify(text);
  }
}
