import type { WorkloadSpec } from '@eru/engines';
import { EruError, invalid, nearest, parseSize } from '@eru/kit';

import type { LogLimits } from './log-files.ts';

const keys = ['max-size', 'max-file'] as const;
/** Drivers of Docker that write files and know these keys: a spec that names one means the same for a process. */
const types = ['json-file', 'local'];
const defaultLog: LogLimits = { maxBytes: 10 * 2 ** 20, files: 5 };
const leastBytes = 4096;
const mostFiles = 1000;

/** How much of a workload's output is kept, by `log` of its spec. @throws EruError `unsupported` for another driver, `invalid` */
export function readLogLimits({ type, config }: WorkloadSpec['log'], defaults = defaultLog): LogLimits {
  if (type !== '' && !types.includes(type))
    throw new EruError(
      'unsupported',
      `log.type: processes log to files on their node, not to ${type}; write ${types.join(' or ')}, or leave log out`,
    );
  const unknown = Object.keys(config).find((key) => !keys.some((known) => known === key));
  if (unknown !== undefined)
    throw new EruError(
      'unsupported',
      `log.config: ${unknown} is not known for processes; ${nearest(unknown, keys) === undefined ? `there are ${keys.join(' and ')}` : `did you mean ${nearest(unknown, keys)}?`}`,
    );
  const { 'max-size': size, 'max-file': count } = config;
  return {
    maxBytes: size === undefined ? defaults.maxBytes : readSize(size),
    files: count === undefined ? defaults.files : readCount(count),
  };
}

function readSize(text: string): number {
  const bytes = parseSize(text, 'log.config.max-size');
  if (bytes < leastBytes) throw invalid('log.config.max-size', text, 'write at least 4K, such as 10M');
  return bytes;
}

function readCount(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < 1 || count > mostFiles)
    throw invalid('log.config.max-file', text, `write a number of files, 1 to ${mostFiles}`);
  return count;
}
