import { seededRandom, systemClock } from '@eru/kit';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { Barrel } from './barrel.ts';
import { doubles, faults, forgotten, steps, type Fault, type Step } from './docker-network-steps.ts';
import { describeAsRoot } from './parts.ts';

const count = Number(process.env['ERU_CHAOS_STEPS'] ?? 36);
const seed = Number(process.env['ERU_SEED'] ?? 1);
/** Something dies in one of so many steps. */
const faultEvery = 4;
const checkEvery = 50;
const leaseMs = 60_000;

describeAsRoot(['docker', 'busybox', 'cni', 'ip', 'iptables'], 'chaos on a plain dockerd', () => {
  let barrel: Barrel;
  beforeAll(async () => {
    barrel = await Barrel.start();
    const { host } = barrel;
    await host.net('create', 'web', '--subnet', '10.8.0.0/24', '--quarantine', '0s');
    await host.net('create', 'back', '--subnet', '10.8.1.0/24', '--quarantine', '0s');
  });
  afterAll(() => barrel?.remove());

  it(
    `${count} steps with deaths between any two: no double address, nothing left (ERU_CHAOS_STEPS, ERU_SEED=${seed})`,
    async () => {
      const { host } = barrel;
      const random = seededRandom(seed);
      const chaotic = { barrel, random, told: new Set<string>() };
      const before = await host.traces();
      const dying: Fault[] = [];
      const asked = new Map<string, number>();
      const done = new Map<string, number>();
      const note = (counts: Map<string, number>, { name }: Step | Fault): void => {
        counts.set(name, (counts.get(name) ?? 0) + 1);
      };
      for (let index = 1; index <= count; index++) {
        const step = steps[random.int(steps.length)] as Step;
        note(asked, step);
        const doing = step.run(chaotic).then(
          (was) => was && note(done, step),
          () => {}, // It has met the dead.
        );
        if (random.int(faultEvery) === 0) {
          await systemClock.sleep(random.int(400));
          // Each dies once before any dies twice, so that few steps have them all.
          if (dying.length === 0) dying.push(...faults);
          const [fault] = dying.splice(random.int(dying.length), 1) as [Fault];
          note(asked, fault);
          const revive = await fault.strike(barrel, random);
          await Promise.all([doing, revive()]);
        }
        await doing;
        if (index % checkEvery === 0) expect(await doubles(host)).toEqual([]);
      }
      const told = [...asked].map(
        ([name, times]) => `${name} ${times}${done.has(name) ? ` (${done.get(name)} done)` : ''}`,
      );
      console.log(`seed ${seed}: ${told.join(', ')}`);
      // A chaos in which nothing lives proves nothing.
      expect(done.get('create')).toBeGreaterThan((asked.get('create') ?? 0) / 3);
      expect(await doubles(host)).toEqual([]);
      expect(await forgotten(chaotic)).toEqual([]);
      const { service } = host;
      const ids = (await host.docker('ps', '-aq')).split('\n').filter((id) => id !== '');
      if (ids.length > 0) await host.docker('rm', '-f', ...ids);
      // What a killed proxy reserved for a creation that never was ends with its time, a minute; that is not waited for.
      for (const { container, expiresAt } of await service.intents())
        if (expiresAt !== undefined && expiresAt <= Date.now() + leaseMs) await service.forget({ container });
      const repairs: string[] = [];
      for (let round = 0; round < 10; round++) {
        for (const { text } of await service.reconcile()) repairs.push(text);
        const left = [await service.sandboxes(), await service.intents(), await service.reservations()];
        if (left.flat().length === 0 && (await service.diagnose()).length === 0) break;
      }
      console.log(`repaired at the end: ${JSON.stringify(repairs)}`);
      expect(await service.diagnose()).toEqual([]);
      expect(await service.reservations()).toEqual([]);
      expect([await service.sandboxes(), await service.intents()]).toEqual([[], []]);
      expect(await host.traces()).toEqual(before);
    },
    Math.max(300_000, count * 10_000),
  );
});
