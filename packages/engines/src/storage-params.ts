import { invalid, isJsonObject, parseSize } from '@eru/kit';
import type { Json } from '@eru/kit';

import type { EngineParams, IoLimit, WorkloadSpec } from './engine.ts';

/** A folder of the node at a place of the workload. */
export interface Bind {
  source: string;
  target: string;
  /** `rw`, `ro`, or what else was written. */
  mode: string;
  /** Reserved; 0 = nothing. */
  bytes: number;
}

/**
 * All kinds' fields on top of each other, in name order of the kinds (reference/core-behaviour.md section 5.1). Fields of
 * null are left out.
 */
export function fieldsOf(engineParams: EngineParams): Readonly<Record<string, Json>> {
  const fields: Record<string, Json> = {};
  for (const kind of Object.keys(engineParams).toSorted())
    for (const [name, value] of Object.entries(engineParams[kind] ?? {})) if (value !== null) fields[name] = value;
  return fields;
}

/** Mounts of the spec and volumes of the storage kind, `$VAR` and `${VAR}` in them replaced from the environment. @throws EruError `invalid` */
export function bindsOf(spec: Pick<WorkloadSpec, 'mounts' | 'env' | 'engineParams'>): Bind[] {
  const mounts = spec.mounts.map(({ source, target, readOnly }) => ({
    source,
    target,
    mode: readOnly ? 'ro' : 'rw',
    bytes: 0,
  }));
  const { volumes } = fieldsOf(spec.engineParams);
  if (!Array.isArray(volumes)) return mounts;
  const variables = new Map(
    spec.env.map((entry) => {
      const [name = '', ...value] = entry.split('=');
      return [name, value.join('=')];
    }),
  );
  const expand = (text: string): string =>
    text.replaceAll(/\$(?:\{(\w+)\}|(\w+))/g, (variable, braced?: string, plain?: string) => {
      const value = variables.get(braced ?? plain ?? '');
      // In place of nothing another folder of the machine could be meant.
      if (value === undefined) throw invalid('volumes', text, `set ${variable} in env, or write the folder itself`);
      return value;
    });
  return [
    ...mounts,
    ...volumes.flatMap((volume) => {
      if (typeof volume !== 'string') throw invalid('volumes', JSON.stringify(volume), 'write source:target[:flags]');
      const [source = '', target, mode, size = '0'] = expand(volume).split(':');
      if (target === undefined) return [];
      return [
        { source, target, mode: mode === undefined || mode === '' ? 'rw' : modeOf(mode), bytes: parseSize(size) },
      ];
    }),
  ];
}

/** Of the original's flags engines know read and write. */
function modeOf(flags: string): string {
  return flags.includes('w') ? 'rw' : flags.includes('r') ? 'ro' : flags;
}

/** Bytes of the storage that are left beyond the volumes, for the workload's own layer. */
export function storageBeyondVolumes(engineParams: EngineParams): number {
  const { storage, volumes } = fieldsOf(engineParams);
  if (typeof storage !== 'number') return 0;
  const sizes = (Array.isArray(volumes) ? volumes : []).map((volume) =>
    typeof volume === 'string' ? parseSize(volume.split(':')[3] ?? '0') : 0,
  );
  return Math.max(0, storage - sizes.reduce((sum, size) => sum + size, 0));
}

/** `iops_options`: device -> `readIOPS:writeIOPS:readBPS:writeBPS`, each of which may be a size; missing and 0 are no limit. @throws EruError `invalid` */
export function ioLimitsOf(wanted: Json | undefined): IoLimit[] {
  if (!isJsonObject(wanted)) return [];
  const limits = Object.entries(wanted).map(([name, text]): IoLimit => {
    if (typeof text !== 'string') throw invalid('iops_options', name, 'give readIOPS:writeIOPS:readBPS:writeBPS');
    const [readIops = 0, writeIops = 0, readBps = 0, writeBps = 0] = text
      .split(':')
      .map((amount) => parseSize(amount, `IO limit of ${name}`));
    return {
      device: name.startsWith('/') ? name : `/dev/${name}`,
      ...(readIops > 0 && { readIops }),
      ...(writeIops > 0 && { writeIops }),
      ...(readBps > 0 && { readBps }),
      ...(writeBps > 0 && { writeBps }),
    };
  });
  return limits.filter((limit) => Object.keys(limit).length > 1).toSorted((a, b) => (a.device < b.device ? -1 : 1));
}
