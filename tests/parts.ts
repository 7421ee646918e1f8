import { describe, it } from 'vitest';
// @ts-expect-error plain JavaScript, because it runs before the compiler is installed
import { missing, remedy } from '../scripts/parts.mjs';

/** A real component that a suite needs; the list is in `scripts/parts.mjs`. */
export type Part =
  | 'etcd'
  | 'runc'
  | 'crun'
  | 'conmon'
  | 'busybox'
  | 'ip'
  | 'docker'
  | 'podman'
  | 'registry'
  | 'git'
  | 'qemu'
  | 'compose'
  | 'cni'
  | 'iptables'
  | 'ping';

/**
 * A suite that needs real components. Where one is missing it fails in CI; on a user's machine it is skipped, and its
 * name says which command would provide the part.
 */
export function describeWith(parts: readonly Part[], name: string, suite: () => void): void {
  const absent: string[] = missing(parts);
  if (absent.length === 0 || process.env['CI'] !== undefined) {
    describe(name, suite);
    return;
  }
  describe.skip(`${name} (needs ${absent.join(', ')}: ${remedy(absent)})`, suite);
}

/** The same for suites that need root. */
export function describeAsRoot(parts: readonly Part[], name: string, suite: () => void): void {
  if (process.getuid?.() === 0) return describeWith(parts, name, suite);
  const absent: string[] = missing(parts);
  const provided = absent.length === 0 ? '' : `, and ${absent.join(', ')}: ${remedy(absent)}`;
  const wanting = `needs root: sudo npm test${provided}`;
  if (process.env['CI'] === undefined) return void describe.skip(`${name} (${wanting})`, suite);
  describe(name, () => {
    it('has what it needs', () => {
      throw new Error(wanting);
    });
  });
}
