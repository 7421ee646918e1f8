import { afterAll, afterEach, beforeAll, describe } from 'vitest';

import type { EngineTraits } from './bench.suite.ts';
import { Bench } from './bench.suite.ts';
import type { Engine } from '../engine.ts';
import { lifeTests } from './life.suite.ts';
import { limitTests } from './limits.suite.ts';
import { refusalTests } from './refusals.suite.ts';
import { streamTests } from './streams.suite.ts';
import { supplyTests } from './supply.suite.ts';

export type { EngineTraits, Programs } from './bench.suite.ts';
export { shellPrograms, simulatedPrograms } from './bench.suite.ts';

/**
 * What every engine does, in code. `make` gives a fresh engine that may hold other workloads; those of the suite carry the
 * label `suite=contract` and are removed after each test. `close` ends the engine and whatever stands behind it.
 */
export function engineContract(
  name: string,
  make: () => Promise<{ engine: Engine; close: () => Promise<void> }>,
  traits: EngineTraits = {},
): void {
  describe(`engine contract: ${name}`, () => {
    let bench: Bench | undefined;
    let close: (() => Promise<void>) | undefined;
    beforeAll(async () => {
      const made = await make();
      close = made.close;
      bench = new Bench(made.engine, traits);
      await bench.clear();
    });
    afterEach(() => bench?.clear());
    afterAll(async () => {
      await bench?.engine.close();
      await close?.();
    });
    const get = (): Bench => bench!;
    lifeTests(get);
    streamTests(get, traits);
    limitTests(get, traits);
    supplyTests(get, traits);
    refusalTests(get, traits);
  });
}
