import { run } from '@eru/kit';

/** Deletes those of these bridges that have no port; the plugin makes them again when somebody is attached. */
export async function removeIdleBridges(names: readonly string[]): Promise<void> {
  for (const name of names) {
    // Fails where there is no such bridge.
    const { code, stdout } = await run('ip', ['-json', 'link', 'show', 'master', name]);
    if (code !== 0) continue;
    const ports = JSON.parse(stdout.trim() || '[]') as { ifname?: string }[];
    if (!ports.some(({ ifname }) => ifname !== undefined)) await run('ip', ['link', 'delete', name, 'type', 'bridge']);
  }
}
