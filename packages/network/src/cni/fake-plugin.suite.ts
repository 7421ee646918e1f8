import { chmod, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { JsonObject } from '@eru/kit';

import { Cni, type CniOptions } from './cni.ts';
import { parseNetworkList, type NetworkList } from './config.ts';

/** What a fake plugin was called with. */
export interface Call {
  plugin: string;
  command: string;
  env: Record<string, string>;
  input: JsonObject;
}

/** Plugins that are shell scripts: each notes its call, then does as it is told. */
export class FakePlugins {
  readonly folder: string;
  readonly cni: Cni;

  static async make(options: Partial<CniOptions> = {}): Promise<FakePlugins> {
    const folder = await mkdtemp(path.join(tmpdir(), 'eru-fake-'));
    await mkdir(path.join(folder, 'calls'));
    return new FakePlugins(folder, options);
  }

  private constructor(folder: string, options: Partial<CniOptions>) {
    this.folder = folder;
    this.cni = new Cni({
      pluginFolders: [path.join(folder, 'none'), folder],
      cacheFolder: path.join(folder, 'cache'),
      ...options,
    });
  }

  /** A plugin with this body, which finds its input in `$input`. */
  async write(name: string, body: string): Promise<void> {
    const file = path.join(this.folder, name);
    const note = `n=$(ls ${this.folder}/calls | wc -l); f=$(printf '${this.folder}/calls/%04d' $n)
input=$(cat); { printf '%s\\n%s\\n' ${name} "$input"; env | grep '^CNI_'; } > $f.tmp; mv $f.tmp $f`;
    await writeFile(file, `#!/bin/sh\n${note}\n${body}\n`);
    await chmod(file, 0o755);
  }

  /** Answers ADD with this result. */
  answer(name: string, result: object): Promise<void> {
    return this.write(name, `[ $CNI_COMMAND = ADD ] && echo '${JSON.stringify(result)}'; exit 0`);
  }

  list(more: object, ...plugins: object[]): Promise<NetworkList> {
    return parseNetworkList(JSON.stringify({ cniVersion: '1.0.0', name: 'net', plugins, ...more }), 'test');
  }

  /** All calls so far, in order. */
  async calls(): Promise<Call[]> {
    const folder = path.join(this.folder, 'calls');
    const files = (await readdir(folder)).toSorted();
    return Promise.all(
      files.map(async (file) => {
        const [plugin = '', input = '', ...lines] = (await readFile(path.join(folder, file), 'utf8'))
          .trim()
          .split('\n');
        const env = Object.fromEntries(
          lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
        );
        return { plugin, command: env['CNI_COMMAND'] ?? '', env, input: JSON.parse(input) as JsonObject };
      }),
    );
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }
}
