import { EruError, nearest } from '@eru/kit';
import type { EtcdStoreOptions } from '@eru/store';
import { readFile } from 'node:fs/promises';

const form = 'etcd://[USER[:PASSWORD]@]HOST:PORT[,HOST:PORT…][/PREFIX][?ca=FILE&cert=FILE&key=FILE]';
const files = ['ca', 'cert', 'key'] as const;

/**
 * What `--store` says of an etcd: its members, the prefix of our keys (`/eru/` by default), a user, and certificate files.
 * `etcds://`, or any of the files, means TLS. A password that should not stand in the list of processes comes from
 * `ERU_ETCD_PASSWORD`. @throws EruError `invalid`, or as the files cannot be read
 */
export async function parseEtcdUrl(
  url: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Pick<EtcdStoreOptions, 'endpoints' | 'prefix' | 'credential' | 'tls'>> {
  const match = /^etcd(s?):\/\/(?:([^@/?]*)@)?([^/?@]+)(\/[^?]*)?(?:\?(.*))?$/.exec(url);
  if (match === null) throw refused(url, `write embedded or ${form}`);
  const [, secure, user, members = '', prefix = '/eru', query = ''] = match;
  const tls = await readTls(url, new URLSearchParams(query));
  return {
    endpoints: members.split(','),
    prefix: `${prefix}/`.replace(/\/+$/, '/'),
    ...(user !== undefined && { credential: readCredential(url, user, env) }),
    ...((secure === 's' || tls !== undefined) && { tls: tls ?? {} }),
  };
}

function readCredential(
  url: string,
  user: string,
  env: Readonly<Record<string, string | undefined>>,
): { username: string; password: string } {
  const [name = '', ...rest] = user.split(':');
  const password = rest.length > 0 ? rest.join(':') : env['ERU_ETCD_PASSWORD'];
  if (password === undefined)
    throw refused(url, 'give the password of its user in the environment as ERU_ETCD_PASSWORD, or after the name');
  return { username: decode(url, name), password: rest.length > 0 ? decode(url, password) : password };
}

function decode(url: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw refused(url, 'write a % of the user or password as %25');
  }
}

async function readTls(
  url: string,
  query: URLSearchParams,
): Promise<Partial<Record<(typeof files)[number], string>> | undefined> {
  for (const name of query.keys()) {
    if (files.some((file) => file === name)) continue;
    const near = nearest(name, files);
    throw refused(
      url,
      `${name} is not known; ${near === undefined ? `write ${files.join(', ')}` : `did you mean ${near}?`}`,
    );
  }
  const given = await Promise.all(
    [...query].map(async ([name, file]) => {
      try {
        return [name, await readFile(file, 'utf8')] as const;
      } catch (cause) {
        throw new EruError('invalid', `--store: ${name}=${file} cannot be read: ${EruError.from(cause).message}`, {
          cause,
        });
      }
    }),
  );
  return given.length === 0 ? undefined : Object.fromEntries(given);
}

/** A password never gets into a message. */
function refused(url: string, remedy: string): EruError {
  const shown = url.replace(/:[^:@/]*@/, ':***@');
  return new EruError('invalid', `--store: ${JSON.stringify(shown)} is not allowed; ${remedy}`);
}
