import { formatSize, isJsonObject } from '@eru/kit';

/** Resources travel as JSON text; text that is none is shown as it came. */
export function parseResources(text: string): unknown {
  if (text === '') return {};
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

type Row = readonly [title: string, value: string];
type Format = (amount: number) => string;

/** What a node has and how much of it is booked, as `in use / capacity`: a title per kind, kinds that it lacks left out. */
export function resourceRows(capacityText: string, usageText: string): Row[] {
  const capacity = parseResources(capacityText);
  if (!isJsonObject(capacity)) return [['Capacity', capacityText]];
  const parsed = parseResources(usageText);
  const usage = isJsonObject(parsed) ? parsed : {};
  return Object.entries(capacity).flatMap(([kind, has]) => {
    const rows = known[kind];
    if (rows !== undefined) return rows(objectOf(has), objectOf(usage[kind]));
    return [[kind, `${JSON.stringify(usage[kind] ?? {})} / ${JSON.stringify(has)}`] as const];
  });
}

/** In use and capacity of one amount of a kind; `-` for a node without it. */
export function amountText(capacityText: string, usageText: string, kind: string, key: string, format: Format): string {
  const has = objectOf(objectOf(parseResources(capacityText))[kind])[key];
  return typeof has === 'number'
    ? `${format(numberOf(objectOf(parseResources(usageText))[kind], key))}/${format(has)}`
    : '-';
}

export const coresText: Format = (cores) => String(Math.round(cores * 100) / 100);

type Amounts = Readonly<Record<string, unknown>>;

const known: Readonly<Record<string, (has: Amounts, used: Amounts) => Row[]>> = {
  cpumem: (has, used) => [
    ['Cores', `${pair(used, has, 'cpu', coresText)}${boundText(has, used)}`],
    ['Memory', pair(used, has, 'memory', formatSize)],
    ['NUMA', numaLines(has, used)],
  ],
  storage: (has, used) => [
    ['Storage', numberOf(has, 'storage') === 0 ? '' : pair(used, has, 'storage', formatSize)],
    ['Volumes', pairLines(objectOf(has['volumes']), objectOf(used['volumes']), formatSize)],
    ['Disks', diskLines(has['disks'], used['disks'])],
  ],
  affinity: (_has, { workloads }) => [
    ['Affinity', Array.isArray(workloads) ? lines(workloads.map(objectOf).map(neighbours)) : ''],
  ],
  gpu: (has, used) => [['GPU', pairLines(objectOf(has['prod_count_map']), objectOf(used['prod_count_map']), String)]],
};

function pair(used: unknown, has: unknown, key: string, format: Format): string {
  return `${format(numberOf(used, key))} / ${format(numberOf(has, key))}`;
}

function pairLines(has: Amounts, used: Amounts, format: Format): string {
  return lines(Object.keys(has).map((name) => `${name}: ${pair(used, has, name, format)}`));
}

/** Workloads with the same labels, which others may want to be near, or not. */
function neighbours(group: Amounts): string {
  const labels = Object.entries(objectOf(group['labels'])).map(([key, value]) => `${key}=${String(value)}`);
  return `${numberOf(group, 'count')} with ${labels.join(', ')}`;
}

/** Cores that workloads have for themselves, wholly or in pieces. */
function boundText({ cpu_map: has }: Amounts, { cpu_map: used }: Amounts): string {
  const bound = Object.entries(objectOf(used)).flatMap(([core, pieces]) => {
    if (typeof pieces !== 'number' || pieces === 0) return [];
    const all = numberOf(has, core);
    return [pieces === all ? core : `${core} (${pieces} of ${all} pieces)`];
  });
  return bound.length === 0 ? '' : `; bound: ${bound.join(', ')}`;
}

function numaLines({ numa, numa_memory: has }: Amounts, { numa_memory: used }: Amounts): string {
  const cores = Object.entries(objectOf(numa));
  return lines(
    [...new Set(cores.map(([, node]) => String(node)))].map((node) => {
      const own = cores.filter(([, other]) => String(other) === node).map(([core]) => core);
      const memory = numberOf(has, node) === 0 ? '' : `, memory ${pair(used, has, node, formatSize)}`;
      return `${node}: cores ${own.join(',')}${memory}`;
    }),
  );
}

function diskLines(has: unknown, used: unknown): string {
  if (!Array.isArray(has)) return '';
  const inUse = Array.isArray(used) ? used.map(objectOf) : [];
  return lines(
    has.map(objectOf).map((disk) => {
      const own = inUse.find(({ device }) => device === disk['device']);
      const mounts = Array.isArray(disk['mounts']) ? ` at ${disk['mounts'].join(', ')}` : '';
      const io = (['read', 'write'] as const).map(
        (way) =>
          `${way} ${pair(own, disk, `${way}_IOPS`, String)} IOPS, ${pair(own, disk, `${way}_bps`, formatSize)} B/s`,
      );
      return `${String(disk['device'])}${mounts}: ${io.join('; ')}`;
    }),
  );
}

function lines(all: readonly string[]): string {
  return all.toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true })).join('\n');
}

function objectOf(value: unknown): Amounts {
  return isJsonObject(value) ? value : {};
}

function numberOf(value: unknown, key: string): number {
  const amount = objectOf(value)[key];
  return typeof amount === 'number' ? amount : 0;
}
