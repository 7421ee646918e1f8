import { refused } from '../refused.ts';
import { formatIo, hasIo, type Io } from './io.ts';
import { readSize } from './size.ts';

/** One volume of a workload: `src:dst[:flags[:size[:rIOPS:wIOPS:rBPS:wBPS]]]` (section 4.1). Bytes. */
export interface Binding {
  readonly source: string;
  readonly target: string;
  /** Letters in alphabetical order: `mrw`, `or`. */
  readonly flags: string;
  readonly size: number;
  readonly io: Io;
}

/**
 * What a binding means to the planner. A `mount` names its source; the others are put on one of the node's volumes:
 * `mono` on one that nobody else uses, and it takes all of it; `unlimited` anywhere, reserving nothing; `normal` where
 * its size and IO fit.
 */
export type Role = 'mount' | 'mono' | 'unlimited' | 'normal';

export function roleOf({ source, flags, size, io }: Binding): Role {
  if (source !== '' && !source.endsWith('AUTO')) return 'mount';
  if (flags.includes('m')) return 'mono';
  return size === 0 && !hasIo(io) ? 'unlimited' : 'normal';
}

/** Bindings of one identity are one volume that changes its amounts. */
export function identityOf({ source, target, flags }: Binding): string {
  return `${source}:${target}:${flags}`;
}

/** All five numbers may be human sizes; missing ones are 0, missing flags `rw`. @throws EruError `invalid` */
export function parseBinding(text: string, field: string): Binding {
  const [source = '', target = '', flags = '', size = '', ...rates] = text.split(':');
  if (target === '' || rates.length > 4) throw malformed(text, field);
  const io = rates.map((rate) => sizeIn(text, rate, field));
  return {
    source,
    target,
    flags: (flags || 'rw').split('').sort().join(''),
    size: sizeIn(text, size, field),
    io: [io[0] ?? 0, io[1] ?? 0, io[2] ?? 0, io[3] ?? 0],
  };
}

/** The full form, all 8 fields: what is stored, sorted by and used as a key. */
export function formatBinding({ source, target, flags, size, io }: Binding): string {
  return `${source}:${target}:${printed(flags)}:${size}:${formatIo(io)}`;
}

/** The form for engines, as short as they read it: that a volume is exclusive is the planner's affair. */
export function engineForm(binding: Binding): string {
  const engine = { ...binding, flags: binding.flags.replaceAll('m', '') };
  if (hasIo(engine.io)) return formatBinding(engine);
  const place = `${engine.source}:${engine.target}`;
  return engine.flags === '' && engine.size === 0 ? place : `${place}:${printed(engine.flags)}:${engine.size}`;
}

/** `o` ("only") is written where people expect it: `or` is `ro`. */
function printed(flags: string): string {
  if (!flags.includes('o')) return flags;
  return flags.replaceAll('o', '').replaceAll('r', 'ro').replaceAll('w', 'wo');
}

function sizeIn(text: string, size: string, field: string): number {
  const bytes = readSize(size);
  if (bytes === undefined) throw malformed(text, field);
  return bytes;
}

function malformed(text: string, field: string): Error {
  return refused(
    field,
    text,
    'write source:target[:flags[:size[:readIOPS:writeIOPS:readBPS:writeBPS]]], such as AUTO:/data:rw:10G',
    'invalid volume',
  );
}
