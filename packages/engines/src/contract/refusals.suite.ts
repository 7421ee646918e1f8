import { describe, it } from 'vitest';

import type { Bench, EngineTraits } from './bench.suite.ts';
import { all, limited, refused } from './bench.suite.ts';
import type { EngineVerb } from '../call-limit.ts';
import type { Engine, ExecSpec } from '../engine.ts';

type Call = (engine: Engine, id: string) => Promise<unknown>;

const exec: ExecSpec = { command: ['true'], env: [], dir: '', user: '', stdin: false, tty: false };

/** Every verb that is about one workload. */
const ofWorkload: Partial<Readonly<Record<EngineVerb, Call>>> = {
  start: (engine, id) => engine.start(id),
  stop: (engine, id) => engine.stop(id),
  kill: (engine, id) => engine.kill(id, 'SIGTERM'),
  suspend: (engine, id) => engine.suspend(id),
  resume: (engine, id) => engine.resume(id),
  inspect: (engine, id) => engine.inspect(id),
  wait: (engine, id) => engine.wait(id),
  logs: (engine, id) => all(engine.logs(id)),
  exec: (engine, id) => engine.exec(id, exec),
  attach: (engine, id) => engine.attach(id),
  copyTo: (engine, id) => engine.copyTo(id, '/tmp', empty()),
  copyFrom: (engine, id) => all(engine.copyFrom(id, '/tmp')),
  update: (engine, id) => engine.update(id, limited),
  stats: (engine, id) => engine.stats(id),
  networkConnect: (engine, id) => engine.networkConnect(id, 'bridge'),
  networkDisconnect: (engine, id) => engine.networkDisconnect(id, 'bridge'),
  imageCommit: (engine, id) => engine.imageCommit(id, ['x:1']),
  raw: (engine, id) => engine.raw(id, 'echo', new Uint8Array()),
};

const ofMachine: Partial<Readonly<Record<EngineVerb, Call>>> = {
  askNetwork: (engine) => engine.askNetwork('networks', {}),
  networkList: (engine) => engine.networkList(),
  imageList: (engine) => engine.imageList(''),
  imagePull: (engine) => all(engine.imagePull('x')),
  imagePush: (engine) => all(engine.imagePush('x')),
  imageRemove: (engine) => engine.imageRemove('x'),
  imagePrune: (engine) => engine.imagePrune(),
  imageBuild: (engine) => all(engine.imageBuild({ references: ['x'], platform: '' }, empty())),
  imageBuildPrune: (engine) => engine.imageBuildPrune(),
};

export function refusalTests(get: () => Bench, traits: EngineTraits): void {
  const unsupported = new Set(traits.unsupported);

  describe('refusals', () => {
    for (const [verb, call] of Object.entries(ofWorkload)) {
      if (unsupported.has(verb as EngineVerb)) continue;
      it(`${verb} of what is not there is not_found`, () => refused(call(get().engine, 'f'.repeat(64)), 'not_found'));
    }

    for (const verb of unsupported) {
      it(`${verb} is unsupported, and says so`, async () => {
        const id = await get().running();
        const call = ofWorkload[verb] ?? ofMachine[verb];
        if (call === undefined) throw new Error(`${verb} is a verb that every engine has`);
        await refused(call(get().engine, id), 'unsupported');
      });
    }

    it.skipIf(unsupported.has('raw'))('a raw operation that the engine does not know is unsupported', async () => {
      const id = await get().running();
      await refused(get().engine.raw(id, 'no-such-operation', new Uint8Array()), 'unsupported', 'invalid');
    });
  });
}

async function* empty(): AsyncGenerator<Uint8Array> {}
