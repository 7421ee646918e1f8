import { type eru, type MessageInitShape, type ServiceHandlers } from '@eru/contract';
import { EruError } from '@eru/kit';

import type { OperationRecord, RollItem } from '../../state/records.ts';
import type { ClusterView } from '../../state/view.ts';
import type { Edge } from '../edge.ts';
import { Latest } from '../latest.ts';
import type { Seen } from '../operation-log.ts';
import { until } from '../core-rpc/status-streams.ts';

type OperationMessage = MessageInitShape<typeof eru.OperationSchema>;
type OperationSlot = MessageInitShape<typeof eru.OperationSlotSchema>;
type OperationEvent = MessageInitShape<typeof eru.OperationEventSchema>;

/** Operations that wait for one slow client; past that it has to watch anew. */
const backlog = 100_000;

/** What is in flight, what has ended lately, and what takeovers did. */
export function eruOperationMethods({ context: { view }, operations, closing }: Edge): ServiceHandlers<typeof eru.Eru> {
  return {
    listOperations: async function* ({ ended, kind, workload }) {
      const all = ended ? [...operations.ended(), ...operations.running()] : operations.running();
      for (const seen of all) {
        const message = operationMessage(view, seen);
        if ((kind === '' || message.kind === kind) && (workload === '' || concerns(seen, workload))) yield message;
      }
    },

    getOperation: async ({ id }) => {
      const all = [...operations.running(), ...operations.ended()];
      const found = id === '' ? [] : all.filter(({ record }) => record.id.startsWith(id));
      const [first, second] = found;
      if (first === undefined)
        throw new EruError('not_found', `no operation in flight or ended lately has the id ${JSON.stringify(id)}`);
      if (second !== undefined)
        throw new EruError(
          'not_found',
          `${JSON.stringify(id)} begins the id of ${found.length} operations; write more`,
        );
      return operationMessage(view, first);
    },

    watchOperations: async function* (_request, { signal }) {
      const changed = new Latest<OperationEvent>(backlog);
      const tell = (seen: Seen): void =>
        changed.set(seen.record.id, {
          event: { case: seen.endedAtMs === 0 ? 'changed' : 'ended', value: operationMessage(view, seen) },
        });
      const unsubscribe = operations.subscribe(tell);
      for (const seen of operations.running()) tell(seen);
      changed.set('', { event: { case: 'listed', value: true } });
      yield* until(changed, AbortSignal.any([signal, closing]), [unsubscribe]);
    },
  };
}

function concerns({ record, slots }: Seen, workload: string): boolean {
  return (
    ('workload' in record && record.workload === workload) ||
    (record.kind === 'roll' && record.items.some(({ id, made }) => id === workload || made?.id === workload)) ||
    slots.some(({ slot }) => slot.id === workload)
  );
}

export function operationMessage(view: ClusterView, { record, slots, endedAtMs }: Seen): OperationMessage {
  const owner = view.cores.get(record.owner.core);
  const alive = owner?.createRevision === record.owner.epoch;
  const nodes = new Set(slots.map(({ node }) => node));
  return {
    id: record.id,
    kind: record.kind,
    detail: detailOf(record),
    owner: record.owner.core,
    ownerAddress: alive ? (owner?.value.address ?? '') : '',
    ownerAlive: alive,
    workload: 'workload' in record ? record.workload : '',
    name: 'workload' in record ? record.name : `${record.app}_${record.entrypoint}`,
    node: 'workload' in record ? record.node : nodes.size === 1 ? ([...nodes][0] ?? '') : '',
    step: 'step' in record ? record.step : record.kind === 'roll' ? 'rolling' : record.state,
    slots: record.kind === 'roll' ? record.items.map(rolled) : slots.map(slotMessage),
    hooks: 'hooks' in record ? record.hooks : slots.some(({ slot }) => slot.step === 'hooking') ? ['hooking'] : [],
    takeovers: (record.takeovers ?? []).map(({ from, by, atMs, did }) => ({ from, by, at: BigInt(atMs), did })),
    createdAt: BigInt(record.createdAtMs),
    endedAt: BigInt(endedAtMs),
    idempotencyKey: record.key,
  };
}

function slotMessage({ node, slot: { name, step, id } }: Seen['slots'][number]): OperationSlot {
  return { name, node, step, id };
}

/** One of a list, by the old one's name, with the new one's id. */
function rolled({ name, node, step, made, error, skipped }: RollItem): OperationSlot {
  const ended = error === '' ? 'done' : skipped === true ? 'not begun' : `failed: ${error}`;
  return { name, node, step: step === 'end' ? ended : step, id: made?.id ?? '' };
}

function detailOf(record: OperationRecord): string {
  switch (record.kind) {
    case 'create':
    case 'lambda':
      return `${record.strategy} ${record.count}${record.request === undefined ? '' : ', asynchronous'}`;
    case 'roll': {
      const { items, window, replace } = record;
      return `${items.length}, ${window} at a time${replace.overlap === undefined ? '' : ', overlap'}`;
    }
    case 'control':
      return record.type;
    case 'remove':
      return [record.stop ? 'stop first' : '', record.force ? 'force' : ''].filter((word) => word !== '').join(', ');
    case 'replace':
      return record.overlap ? 'overlap' : 'in place';
    case 'send':
    case 'raw':
    case 'network':
      return record.what;
    case 'realloc':
    case 'dissociate':
      return '';
  }
}
