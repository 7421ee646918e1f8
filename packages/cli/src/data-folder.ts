import os from 'node:os';
import path from 'node:path';

/** `/var/lib/eru` for root, else the XDG state folder. */
export function defaultDataFolder(env: Readonly<Record<string, string | undefined>>, uid = process.getuid?.()): string {
  if (uid === 0) return '/var/lib/eru';
  const state = env['XDG_STATE_HOME'];
  // The XDG rules ignore what is not absolute.
  if (state !== undefined && path.isAbsolute(state)) return path.join(state, 'eru');
  return path.join(env['HOME'] ?? os.homedir(), '.local/state/eru');
}
