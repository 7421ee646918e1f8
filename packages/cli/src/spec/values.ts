import { EruError, isEruError, isJsonObject, parseDuration, parseSize } from '@eru/kit';
import net from 'node:net';

/**
 * Values as people write them, in a spec or behind a flag: one set of rules for both. Each answers the value or throws
 * `invalid` with what it got and what is allowed; where it stood is added by the caller (`flagged`, or the schema).
 */
export type Parse<T> = (value: unknown) => T;

export function refuse(value: unknown, expected: string): EruError {
  const shown = value === undefined ? 'missing' : `${JSON.stringify(value) ?? typeof value} is not allowed`;
  return new EruError('invalid', `${shown}; ${expected}`);
}

/** Runs a parser on what stands behind a flag. */
export function flagged<T>(flag: string, parse: Parse<T>, value: unknown): T {
  try {
    return parse(value);
  } catch (error) {
    if (isEruError(error, 'invalid')) throw new EruError('invalid', `${flag}: ${error.message}`, { cause: error });
    throw error;
  }
}

/** YAML gives numbers and booleans for what is meant as text (`publish: [8080]`, `DEBUG: true`). */
export const text: Parse<string> = (value) => {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw refuse(value, 'write a text');
};

export const texts: Parse<string[]> = (value) => {
  if (!Array.isArray(value)) return [text(value)];
  return value.map((item) => text(item));
};

/** The argument list of a program; a bare text would leave open where it is split. */
export const argumentList: Parse<string[]> = (value) => {
  if (Array.isArray(value) && value.length > 0) return value.map((item) => text(item));
  throw refuse(value, 'write a list such as ["/bin/server", "--port", "80"], or use cmd');
};

export const flag: Parse<boolean> = (value) => {
  if (typeof value === 'boolean') return value;
  throw refuse(value, 'write true or false');
};

export const engineName: Parse<string> = (value) => {
  if (value === 'docker' || value === 'process') return value;
  throw refuse(value, 'write docker or process, or leave it out: an image is run by docker, a command by process');
};

/** Bytes, of either sign: what is added. */
export const sizeChange: Parse<number> = (value) => {
  const expected = 'write bytes or a number with K, M, G, T or P, such as 512M';
  if (typeof value !== 'string' && typeof value !== 'number') throw refuse(value, expected);
  try {
    return parseSize(String(value));
  } catch {
    throw refuse(value, expected);
  }
};

/** Bytes; 0 = none. */
export const size: Parse<number> = (value) => {
  const bytes = sizeChange(value);
  if (bytes < 0) throw refuse(value, 'a size is 0 or more, such as 512M');
  return bytes;
};

/** Cores, of either sign: what is added. */
export const coresChange: Parse<number> = (value) => {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isFinite(number))
    throw refuse(value, 'write a number of cores, such as 0.5');
  return number;
};

/** Cores, to two decimals as the planner counts them; 0 = none. */
export const cores: Parse<number> = (value) => {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isFinite(number) || number < 0)
    throw refuse(value, 'write a number of cores, 0 or more, such as 0.5');
  return number;
};

export function integer(least: number, expected: string): Parse<number> {
  return (value) => {
    const number = typeof value === 'string' && /^\d+$/.test(value.trim()) ? Number(value) : value;
    if (typeof number !== 'number' || !Number.isInteger(number) || number < least || number > 2 ** 31 - 1)
      throw refuse(value, expected);
    return number;
  };
}

export const instanceCount = integer(1, 'write how many instances, 1 or more');
export const nodesLimit = integer(0, 'write how many nodes, 1 or more; 0 = no limit');
export const processCount = integer(0, 'write how many processes and threads, 1 or more; 0 = no limit');

/** Milliseconds. */
export const duration: Parse<number> = (value) => {
  const expected = 'write a duration such as 30s, 5m or 1h30m';
  const written = text(value).trim();
  if (/^\d+(\.\d+)?$/.test(written)) return Number(written) * 1000;
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(written)) throw refuse(value, expected);
  return parseDuration(written);
};

const strategies = ['AUTO', 'FILL', 'EACH', 'GLOBAL', 'DRAINED', 'DUMMY'] as const;
type StrategyName = (typeof strategies)[number];

/** DUMMY counts capacity and places nothing, so it is no strategy to deploy with. */
export const strategy: Parse<StrategyName> = (value) => {
  const name = strategies.find((known) => known === text(value).toUpperCase());
  if (name !== undefined && name !== 'DUMMY') return name;
  throw refuse(value, 'the strategies are AUTO, FILL, EACH, GLOBAL and DRAINED');
};

export const numaPolicy: Parse<string> = (value) => {
  if (typeof value === 'string' && ['none', 'prefer', 'require'].includes(value)) return value;
  throw refuse(value, 'write none, prefer or require');
};

/**
 * A workload is called `app_entrypoint_ident` and read back from the right, so an entrypoint has no `_`; both become parts of
 * store keys and of engine names.
 */
export const appName: Parse<string> = (value) => nameOf(value, /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, '., - and _');
export const entrypointName: Parse<string> = (value) =>
  nameOf(value, /^[A-Za-z0-9][A-Za-z0-9.-]{0,99}$/, '. and - (no _)');

function nameOf(value: unknown, pattern: RegExp, marks: string): string {
  if (typeof value === 'string' && pattern.test(value)) return value;
  throw refuse(value, `a name is 1 to 100 letters, digits, ${marks}, and begins with a letter or digit`);
}

/** Pods and nodes: a part of a store key. */
export const placeName: Parse<string> = (value) => {
  const name = text(value);
  if (/^[^\s/\0]{1,253}$/.test(name)) return name;
  throw refuse(value, 'a name is not empty and has no blank and no /');
};

export const placeNames: Parse<string[]> = (value) => texts(value).map((name) => placeName(name));

/** `KEY=value` texts (or a map) as a map. */
export function pairs(keyExpected: string, allowed: RegExp): Parse<Record<string, string>> {
  return (value) => {
    const found: Record<string, string> = {};
    const entries = isJsonObject(value) ? Object.entries(value) : texts(value).map((item) => split(item));
    for (const [key, item] of entries) {
      if (!allowed.test(key)) throw refuse(key, keyExpected);
      found[key] = text(item);
    }
    return found;
  };

  function split(item: string): [string, string] {
    const at = item.indexOf('=');
    if (at < 1) throw refuse(item, keyExpected);
    return [item.slice(0, at), item.slice(at + 1)];
  }
}

export const labels = pairs('write key=value, the key without blanks and =', /^[^\s=\0]+$/);
export const environment = pairs('write KEY=value, the key without blanks and =', /^[^\s=\0]+$/);
export const settings = pairs('write a map of texts', /^[^\0]+$/);

/** Network name -> wanted address, or one of each family with a comma (empty = any); one, or a list. A path is that of a namespace. */
export const network: Parse<Record<string, string>> = (value) => {
  const networks: Record<string, string> = {};
  for (const item of Array.isArray(value) ? value : [value]) {
    const [name = '', addresses = '', ...rest] = text(item).split('=');
    // A list in brackets ends an entry at each comma.
    if (net.isIP(name) !== 0)
      throw refuse(item, 'it is an address; write both of a network as one text: "network=10.8.0.10,fd00::10"');
    if (!/^(\/[^\s,=]+|[^\s/,=]+)$/.test(name) || rest.length > 0)
      throw refuse(item, 'write a network, network=address, or the absolute path of a network namespace');
    if (name in networks) throw refuse(item, `${name} is there already`);
    const families = addresses === '' ? [] : addresses.split(',').map((address) => net.isIP(address));
    if (families.includes(0) || new Set(families).size < families.length)
      throw refuse(item, 'after the = goes an IP address, or an IPv4 and an IPv6 one; several networks are a list');
    networks[name] = addresses;
  }
  if (Object.keys(networks).length === 0) throw refuse(value, 'write at least one network');
  return networks;
};

/** A number, or a name that asks for a free port. */
export const port: Parse<string> = (value) => {
  const written = text(value);
  const number = Number(written);
  if (/^\d+$/.test(written) ? number >= 1 && number <= 65_535 : /^[A-Za-z][A-Za-z0-9_-]{0,62}$/.test(written))
    return written;
  throw refuse(value, 'a port is a number from 1 to 65535, or a name of letters, digits, - and _');
};

export const ports: Parse<string[]> = (value) => {
  if (!Array.isArray(value)) throw refuse(value, 'write a list of ports such as ["http"] or [8080]');
  return value.map((item) => port(item));
};

export const restartPolicy: Parse<string> = (value) => {
  const written = text(value);
  if (/^(no|always|unless-stopped|on-failure(:\d+)?)$/.test(written)) return written;
  throw refuse(value, 'restart is no, always, unless-stopped, on-failure or on-failure:<retries>');
};

export const signalName: Parse<string> = (value) => {
  const written = text(value).toUpperCase();
  if (/^(SIG)?[A-Z][A-Z0-9+-]*$/.test(written)) return written.startsWith('SIG') ? written : `SIG${written}`;
  throw refuse(value, 'write a signal such as SIGTERM');
};

export interface FileToSend {
  source: string;
  target: string;
  /** Absent = the server's default. */
  mode?: number;
  owner?: { uid: number; gid: number };
}

/** `src:dst[:mode[:uid:gid]]`, mode in octal. */
const file: Parse<FileToSend> = (value) => {
  const expected = 'write source:target, source:target:mode (octal) or source:target:mode:uid:gid';
  const parts = text(value).split(':');
  const [source = '', target = '', mode, uid, gid] = parts;
  if (![2, 3, 5].includes(parts.length) || source === '' || !target.startsWith('/')) throw refuse(value, expected);
  if (mode !== undefined && !/^[0-7]{1,5}$/.test(mode)) throw refuse(value, expected);
  if (uid !== undefined && (!/^\d+$/.test(uid) || !/^\d+$/.test(gid ?? ''))) throw refuse(value, expected);
  return {
    source,
    target,
    ...(mode === undefined ? {} : { mode: Number.parseInt(mode, 8) }),
    ...(uid === undefined ? {} : { owner: { uid: Number(uid), gid: Number(gid) } }),
  };
};

export const files: Parse<FileToSend[]> = (value) => (Array.isArray(value) ? value : [value]).map((item) => file(item));

export interface MountToMake {
  source: string;
  target: string;
  readOnly: boolean;
}

/** `source:target[:ro|rw]`; the source may still hold a name that the spec expands. */
const mount: Parse<MountToMake> = (value) => {
  const expected = 'write source:target, source:target:ro, or a map with source, target and read_only';
  if (isJsonObject(value)) {
    const { source, target, read_only: readOnly = false, ...rest } = value;
    if (typeof source !== 'string' || typeof target !== 'string' || typeof readOnly !== 'boolean')
      throw refuse(value, expected);
    if (Object.keys(rest).length > 0) throw refuse(value, expected);
    return { source, target, readOnly };
  }
  const parts = text(value).split(':');
  const [source = '', target = '', mode = 'rw'] = parts;
  if (parts.length > 3 || source === '' || target === '' || !['ro', 'rw'].includes(mode)) throw refuse(value, expected);
  return { source, target, readOnly: mode === 'ro' };
};

export const mounts: Parse<MountToMake[]> = (value) =>
  (Array.isArray(value) ? value : [value]).map((item) => mount(item));

/** Soft and hard limit; one number stands for both, -1 for no limit. */
export const ulimits: Parse<Record<string, { soft: number; hard: number }>> = (value) => {
  const expected = 'write limits such as {nofile: 1024} or {nofile: "1024:4096"}';
  if (!isJsonObject(value)) throw refuse(value, expected);
  return Object.fromEntries(
    Object.entries(value).map(([name, limit]) => {
      const given = isJsonObject(limit) ? [limit['soft'], limit['hard']] : text(limit).split(':');
      const [soft, hard = soft] = given.map(Number);
      if (!/^[a-z]+$/.test(name) || given.length > 2 || !isLimit(soft) || !isLimit(hard))
        throw refuse({ [name]: limit }, expected);
      return [name, { soft, hard }];
    }),
  );
};

function isLimit(value: number | undefined): value is number {
  return value !== undefined && Number.isSafeInteger(value) && value >= -1;
}

/** A JSON object, also as text behind a flag. */
export const jsonObject: Parse<Record<string, unknown>> = (value) => {
  let parsed: unknown = value;
  if (typeof value === 'string') {
    try {
      parsed = JSON.parse(value);
    } catch {
      throw refuse(value, 'write a JSON object');
    }
  }
  if (!isJsonObject(parsed)) throw refuse(value, 'write a JSON object');
  return parsed;
};

/** `source:target[:flags[:size[:readIOPS:writeIOPS:readBPS:writeBPS]]]`; what else is wrong with one, the planner knows. */
export const volumes: Parse<string[]> = (value) =>
  texts(value).map((item) => {
    const [, target = '', , ...amounts] = item.split(':');
    if (target === '' || amounts.length > 5)
      throw refuse(item, 'write source:target[:flags[:size]], such as AUTO:/data:rw:10G');
    for (const amount of amounts) if (amount !== '') sizeChange(amount);
    return item;
  });

/** Product -> how many, also as `product=count`. */
export const gpus: Parse<Record<string, number>> = (value) => {
  const wanted = pairs('write product=count, such as a100=2', /^[^\s=\0]+$/)(value);
  const count = integer(1, 'write how many GPUs, 1 or more');
  return Object.fromEntries(Object.entries(wanted).map(([product, text]) => [product, count(text)]));
};

/** Kind -> request of that kind. */
export const resourceRequests: Parse<Record<string, unknown>> = (value) => {
  const requests = jsonObject(value);
  for (const [kind, request] of Object.entries(requests)) {
    if (!isJsonObject(request)) throw refuse({ [kind]: request }, 'write an object of requests for each kind');
    if (kind === 'cpumem' || kind === 'storage')
      throw refuse(kind, 'this kind has options of its own (cpu, memory, storage, volumes)');
  }
  return requests;
};
