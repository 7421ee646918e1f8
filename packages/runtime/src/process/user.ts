import { invalid } from '@eru/kit';
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { insideRoot } from './host-view.ts';

export interface ResolvedUser {
  uid: number;
  gid: number;
  /** Supplementary groups. */
  groups: number[];
  home: string;
}

/** `name`, `uid`, `uid:gid` or `name:group` by the passwd and group files of `root`; empty is root. Throws `invalid` for an unknown name. */
export function resolveUser(user: string, root: string): ResolvedUser {
  const accounts = rows(root, 'etc/passwd');
  const groups = rows(root, 'etc/group');
  const [name = '', group] = (user === '' ? '0' : user).split(':');
  const account = accounts.find((row) => (isNumber(name) ? row[2] === name : row[0] === name));
  if (account === undefined && !isNumber(name))
    throw invalid('user', user, `there is no such user in ${path.join(root, 'etc/passwd')}`);
  const uid = Number(account?.[2] ?? name);
  let gid = Number(account?.[3] ?? (uid === 0 ? 0 : uid));
  if (group !== undefined) {
    const found = groups.find((row) => (isNumber(group) ? row[2] === group : row[0] === group));
    if (found === undefined && !isNumber(group))
      throw invalid('user', user, `there is no such group in ${path.join(root, 'etc/group')}`);
    gid = Number(found?.[2] ?? group);
  }
  // As docker: a group named in `user` stands alone, else those that list the account.
  const member =
    group !== undefined || account === undefined
      ? []
      : groups.filter((row) => (row[3] ?? '').split(',').includes(account[0] ?? ''));
  return { uid, gid, groups: member.map((row) => Number(row[2])), home: account?.[5] || '/' };
}

function isNumber(text: string): boolean {
  return /^\d+$/.test(text);
}

/** A link in a root that somebody else has made must not lead to a file of this machine. */
function rows(root: string, name: string): string[][] {
  let text: string;
  try {
    text = readFileSync(insideRoot(root, name) ?? '', 'utf8');
  } catch {
    return [];
  }
  return text.split('\n').map((line) => line.split(':'));
}
