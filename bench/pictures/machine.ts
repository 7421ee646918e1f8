import { box, colour, element, faint, ink, text } from './svg.ts';

/** What one workload holds on the machine of the picture. */
export interface Tenant {
  /** `web 2`. */
  readonly name: string;
  /** Workloads of one app have one colour. */
  readonly app: number;
  /** Core -> pieces; the shared cores when it is not bound. */
  readonly cores: ReadonlyMap<string, number>;
  readonly bound: boolean;
  /** Bytes on each NUMA node. */
  readonly memory: ReadonlyMap<string, number>;
  /** Whether this step placed or changed it. */
  readonly changed: boolean;
}

export interface DrawnMachine {
  /** Cores of each NUMA node; one entry named '' without NUMA. */
  readonly numaNodes: ReadonlyMap<string, readonly string[]>;
  /** Bytes of each NUMA node. */
  readonly memory: ReadonlyMap<string, number>;
  readonly tenants: readonly Tenant[];
}

const cell = { width: 42, height: 84, gap: 3 };
const frame = { padding: 10, head: 40, foot: 20 };

export const machineHeight = frame.head + cell.height + frame.foot + frame.padding;

/** One machine: a tall cell for each core, filled from below with the pieces of those who hold them. */
export function drawMachine(machine: DrawnMachine, left: number, top: number): string[] {
  const drawn: string[] = [];
  let x = left;
  for (const [node, cores] of machine.numaNodes) {
    const width = cores.length * (cell.width + cell.gap) - cell.gap + 2 * frame.padding;
    drawn.push(
      box(x, top, width, machineHeight, { rx: 6, fill: '#f6f8fa', stroke: '#d0d7de' }),
      ...drawHead(machine, node, x + frame.padding, top, width - 2 * frame.padding),
      ...cores.flatMap((core, index) =>
        drawCore(machine, core, x + frame.padding + index * (cell.width + cell.gap), top + frame.head),
      ),
    );
    x += width + 12;
  }
  return drawn;
}

export function machineWidth(machine: DrawnMachine): number {
  return [...machine.numaNodes.values()].reduce(
    (sum, cores) => sum + cores.length * (cell.width + cell.gap) - cell.gap + 2 * frame.padding + 12,
    -12,
  );
}

/** The NUMA node's name and its memory as a bar. */
function drawHead({ memory, tenants }: DrawnMachine, node: string, x: number, top: number, width: number): string[] {
  const whole = memory.get(node) ?? 0;
  const bar = { x: x + 130, width: width - 130 };
  const used = tenants.reduce((sum, tenant) => sum + (tenant.memory.get(node) ?? 0), 0);
  let from = bar.x;
  const parts = tenants.flatMap((tenant) => {
    const part = (bar.width * (tenant.memory.get(node) ?? 0)) / whole;
    from += part;
    return part === 0
      ? []
      : [box(from - part, top + 20, part, 9, { fill: colour(tenant.app), stroke: '#fff', 'stroke-width': 0.8 })];
  });
  return [
    text(x, top + 17, node === '' ? 'one machine' : `NUMA node ${node}`, { 'font-weight': 'bold' }),
    text(x, top + 30, `memory ${gib(used)} of ${gib(whole)} GiB`, { fill: faint, 'font-size': 10 }),
    box(bar.x, top + 20, bar.width, 9, { fill: '#fff', stroke: '#d0d7de' }),
    ...parts,
  ];
}

function drawCore({ tenants }: DrawnMachine, core: string, x: number, top: number): string[] {
  const drawn = [box(x, top, cell.width, cell.height, { rx: 3, fill: '#fff', stroke: '#d0d7de' })];
  const shared = tenants.some(({ bound, cores }) => !bound && cores.has(core));
  let level = top + cell.height;
  for (const tenant of tenants) {
    const pieces = tenant.bound ? (tenant.cores.get(core) ?? 0) : 0;
    if (pieces === 0) continue;
    const height = (cell.height * pieces) / 100;
    level -= height;
    drawn.push(...drawPieces(tenant, pieces, x, level, height));
  }
  if (shared) {
    const middle = (top + level) / 2 + 3;
    drawn.push(
      box(x + 1, top + 1, cell.width - 2, cell.height - 2, {
        rx: 2,
        fill: 'none',
        stroke: faint,
        'stroke-dasharray': '3 3',
      }),
      ...(level - top < 14
        ? []
        : [text(x + cell.width / 2, middle, 'shared', { 'text-anchor': 'middle', 'font-size': 9, fill: faint })]),
    );
  }
  drawn.push(
    text(x + cell.width / 2, top + cell.height + 14, core, { 'text-anchor': 'middle', fill: faint, 'font-size': 10 }),
  );
  return drawn;
}

function drawPieces({ name, app, changed }: Tenant, pieces: number, x: number, y: number, height: number): string[] {
  const border = changed ? { stroke: ink, 'stroke-width': 1.6 } : { stroke: '#fff', 'stroke-width': 1 };
  const middle = y + height / 2;
  const lines = height >= 30 ? [name, String(pieces)] : height >= 11 ? [name] : [];
  return [
    box(x + 1, y + 0.5, cell.width - 2, height - 1, { rx: 2, fill: colour(app), ...border }),
    element(
      'g',
      { 'text-anchor': 'middle', 'font-size': 9 },
      ...lines.map((line, index) => text(x + cell.width / 2, middle + 3 + (index - (lines.length - 1) / 2) * 11, line)),
    ),
  ];
}

function gib(bytes: number): string {
  return String(Math.round((bytes / 2 ** 30) * 10) / 10);
}
