import { readFileSync } from 'node:fs';

const usual = 65_535;
const sysResource = 24n;

/**
 * The `nofile` limit of containers that name none: 65535, as in the original. Where this machine confines even root (no
 * CAP_SYS_RESOURCE), its daemon can give no more than we have ourselves.
 */
export function openFiles(local: boolean): number {
  if (!local || process.getuid?.() !== 0) return usual;
  const status = readFileSync('/proc/self/status', 'utf8');
  const capabilities = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? 'ffffffffff'}`);
  if ((capabilities >> sysResource) & 1n) return usual;
  const hard = Number(/^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? usual);
  return Math.min(usual, hard);
}
