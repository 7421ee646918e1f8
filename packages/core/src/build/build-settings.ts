import type { ImageHome } from './image-references.ts';

/** What building needs to know of its surroundings (`git.*` and `docker.*` of core.yaml). */
export interface BuildSettings {
  /** Whose token header is sent; `git` sends none. Absent: nothing is built, as the original has it. */
  scm?: 'git' | 'github' | 'gitlab' | undefined;
  /** A file with the key for ssh. */
  privateKey?: string | undefined;
  /** For the download of artifacts. */
  token?: string | undefined;
  cloneTimeoutMs: number;
  home: ImageHome;
  /** The pod whose nodes build; empty: no pod does. */
  pod: string;
}

export const noBuilds: BuildSettings = {
  cloneTimeoutMs: 300_000,
  home: { hub: '', namespace: '' },
  pod: '',
};
