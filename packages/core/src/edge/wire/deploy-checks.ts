import { invalid } from '@eru/kit';
import type { RestartPolicy } from '@eru/engines';

const policies = ['no', 'on-failure', 'always', 'unless-stopped'] as const;

/** `policy` or `policy:retries`; empty = no. */
export function readRestart(text: string): RestartPolicy {
  if (text === '') return { type: 'no', retries: 0 };
  const [name, retries, ...rest] = text.split(':');
  const type = policies.find((policy) => policy === name);
  const expected = `write one of ${policies.join(', ')}, or on-failure:5`;
  if (type === undefined || rest.length > 0) throw invalid('entrypoint.restart', text, expected);
  if (retries === undefined) return { type, retries: 0 };
  if (type !== 'on-failure' || !/^\d{1,9}$/.test(retries)) throw invalid('entrypoint.restart', text, expected);
  return { type, retries: Number(retries) };
}

/** Port numbers, or names that ask for a free port each. */
export function checkPublish(publish: readonly string[]): void {
  for (const port of publish) {
    if (!isPort(port) && !isPortName(port))
      throw invalid(
        'entrypoint.publish',
        port,
        'write a port from 1 to 65535, or a name of small letters, digits and dashes that gets a free port',
      );
  }
  const repeated = publish.find((port, index) => publish.indexOf(port) !== index);
  if (repeated !== undefined) throw invalid('entrypoint.publish', repeated, 'publish each port once');
}

/** A health check looks at a number, or at a name that is published. */
export function checkHealthPort(field: string, port: string, publish: readonly string[]): void {
  if (isPort(port) || (isPortName(port) && publish.includes(port))) return;
  const names = publish.filter(isPortName);
  throw invalid(
    field,
    port,
    `write a port from 1 to 65535${names.length === 0 ? '' : ` or a published name: ${names.join(', ')}`}`,
  );
}

export function checkEnv(field: string, env: readonly string[]): void {
  const wrong = env.find((entry) => !/^[^=\0]+=[^\0]*$/s.test(entry));
  if (wrong !== undefined) throw invalid(field, wrong, 'write KEY=value');
}

export function checkAbsolute(field: string, path: string): void {
  if (!path.startsWith('/') || path.includes('\0')) throw invalid(field, path, 'write an absolute path');
}

/** `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`, as registries and docker read it. */
export function checkImage(image: string): void {
  if (!reference.test(image))
    throw invalid('image', image, 'write [HOST[:PORT]/]NAME[:TAG], the name in small letters, such as busybox:1.36');
}

const host = /(?:[a-zA-Z\d](?:[a-zA-Z\d.-]*[a-zA-Z\d])?|\[[a-fA-F\d:]+\])(?::\d+)?/.source;
const word = /[a-z\d]+(?:(?:\.|__?|-+)[a-z\d]+)*/.source;
const tail = /(?::\w[\w.-]{0,127})?(?:@[a-z\d]+(?:[+._-][a-z\d]+)*:[a-f\d]{32,})?/.source;
const reference = new RegExp(`^(?:${host}/)?${word}(?:/${word})*${tail}$`);

function isPort(text: string): boolean {
  return /^[1-9]\d{0,4}$/.test(text) && Number(text) <= 65_535;
}

function isPortName(text: string): boolean {
  return /^[a-z][a-z0-9-]*$/.test(text);
}
