import { retry, seededRandom } from '@eru/kit';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { node, patience } from './apart.ts';
import { ContainerDay, victims, type Container, type Victim } from './container-day.ts';
import { LogFollower } from './log-follower.ts';
import { describeAsRoot } from './parts.ts';

const count = 10;
const MiB = 2 ** 20;

/** Who dies in the middle of what, and whether containers outlive their dockerd. */
interface Plan {
  liveRestore: boolean;
  deaths: Record<'deploy' | 'realloc' | 'build' | 'replace', Victim>;
}

const seed = Number(process.env['ERU_SEED'] ?? 1);
const random = seededRandom(seed);
const plans = Array.from({ length: Number(process.env['ERU_DAYS'] ?? 1) }, () =>
  [true, false].map((liveRestore): Plan => ({ liveRestore, deaths: inSomeOrder() })),
).flat();

describeAsRoot(
  ['docker', 'busybox', 'registry', 'git', 'runc'],
  `a day with ten containers (ERU_DAYS, ERU_SEED=${seed})`,
  () => {
    let day: ContainerDay;
    const followers: LogFollower[] = [];

    beforeAll(async () => {
      day = await ContainerDay.begin();
    });
    afterAll(async () => {
      for (const follower of followers) await follower.close();
      await day?.end();
    });

    it.each(plans)(
      'nothing is lost with live-restore=$liveRestore when $deaths.deploy, $deaths.realloc, $deaths.build and $deaths.replace die',
      { timeout: 240_000 },
      async (plan) => {
        await day.liveRestore(plan.liveRestore);
        await live(day, plan, (id) => {
          const follower = new LogFollower(day.apart.eru.data, id);
          followers.push(follower);
          return follower;
        });
      },
    );
  },
);

/** Each of the victims dies once. */
function inSomeOrder(): Plan['deaths'] {
  const [deploy, realloc, build, replace] = victims
    .map((victim) => ({ victim, at: random.next() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ victim }) => victim) as [Victim, Victim, Victim, Victim];
  return { deploy, realloc, build, replace };
}

async function live(
  day: ContainerDay,
  { liveRestore, deaths }: Plan,
  follow: (id: string) => LogFollower,
): Promise<void> {
  const { eru } = day.apart;
  const spec = path.join(eru.data, 'clock.yaml');
  await writeFile(spec, specOf(day.base));
  // One that is not started again, to see what is said of it.
  await eru.ok(['deploy', spec, '--entry', 'once', '--count', '1']);
  const [{ id: once }] = (await day.containers()) as [Container];
  const ours = async (): Promise<Container[]> => (await day.containers()).filter(({ id }) => id !== once);

  await deployAll(day, spec, deaths.deploy, ours);
  const first = await ours();
  expect(first.map(({ memory }) => memory)).toEqual(Array.from({ length: count }, () => 16 * MiB));
  expect(first.every(({ cpuset }) => cpuset !== '')).toBe(true);
  const followers = first.map(({ id }) => follow(id));
  await Promise.all(followers.map((follower) => follower.goesOn()));

  await reallocate(day, first, deaths.realloc);
  const grown = await ours();
  expect(grown.map(({ memory }) => memory)).toEqual(Array.from({ length: count }, () => 24 * MiB));
  if (deaths.realloc !== 'dockerd' || liveRestore) expect(runsOf(grown)).toEqual(runsOf(first));
  await Promise.all(followers.map((follower) => follower.goesOn()));

  const image = await build(day, deaths.build);
  await filesGoBothWays(day, grown[0]!.id);

  await replaceAll(day, { spec, image, victim: deaths.replace }, ours);
  expect((await ours()).map((one) => [one.image, one.memory])).toEqual(
    Array.from({ length: count }, () => [image, 24 * MiB]),
  );
  // The old ones are gone, and so are those who read along; nothing was told twice.
  expect(await Promise.all(followers.map((follower) => follower.ended()))).toEqual(followers.map(() => 0));
  for (const { lines } of followers) expect(lines).toEqual([...new Set(lines)]);
  const [{ id }] = (await ours()) as [Container];
  expect((await eru.ok(['logs', id])).stdout).toMatch(/^run built\n1\n/);

  await expectTruth(day, once, liveRestore);
  await eru.ok(['rm', '--force', ...(await eru.ps()).map((one) => one.id)]);
  expect(await day.containers()).toEqual([]);
}

function specOf(image: string): string {
  // Its lines are its own: no two of one log are the same, over all its runs.
  const script =
    'read -r run < /proc/sys/kernel/random/uuid; i=0; while i=$((i+1)); do echo "$run $i"; sleep 0.2; done';
  // Process 1 is not ended by a signal that it does not expect: docker would give it ten seconds each time.
  const sh = (commands: string): string[] => ['sh', '-c', `trap exit TERM; ${commands}`];
  return JSON.stringify({
    appname: 'clock',
    pod: 'default',
    image,
    cpu: 0.1,
    memory: '16M',
    entrypoints: {
      tick: { commands: sh(`[ -f /src/clock.sh ] && exec sh /src/clock.sh; ${script}`), restart: 'always' },
      once: { commands: sh('while sleep 0.5; do :; done') },
    },
    cpu_bind: true,
    network: 'bridge',
  });
}

/** What is lacking because somebody died is asked for again. */
async function deployAll(
  day: ContainerDay,
  spec: string,
  victim: Victim,
  ours: () => Promise<Container[]>,
): Promise<void> {
  const args = ['deploy', spec, '--entry', 'tick', '--count'];
  const some = async (): Promise<boolean> => (await ours()).length > 2;
  await day.during(victim, some, [...args, String(count)]);
  await day.comesToRest();
  const lacking = count - (await ours()).length;
  if (lacking > 0) await day.apart.eru.ok([...args, String(lacking)]);
}

/** All of them grow by a half; what was refused because somebody died is asked again. */
async function reallocate(day: ContainerDay, all: readonly Container[], victim: Victim): Promise<void> {
  const { eru } = day.apart;
  const grow = (id: string) => eru.run(['realloc', id, '--memory', '8M']);
  await Promise.all([day.kill(victim), ...all.map(({ id }) => grow(id))]);
  await day.comesToRest();
  const lacking = (await day.containers()).filter(
    ({ id, memory }) => memory === 16 * MiB && all.some((one) => one.id === id),
  );
  expect((await Promise.all(lacking.map(({ id }) => grow(id)))).filter(({ code }) => code !== 0)).toEqual([]);
}

/** From the repository, pushed to the registry. Who builds dies with core; an engine that was away is waited for. */
async function build(day: ContainerDay, victim: Victim): Promise<string> {
  const { eru } = day.apart;
  const file = path.join(eru.data, 'build.yaml');
  await writeFile(
    file,
    JSON.stringify({
      stages: ['pack'],
      builds: { pack: { base: day.base, repo: 'https://git.example/clock.git', dir: '/src', commands: ['sleep 1'] } },
    }),
  );
  const args = ['image', 'build', '--name', 'clock', '--tag', '2', file];
  const running = async (): Promise<number> => (await day.docker('ps', '-q')).split('\n').length;
  const before = await running();
  // Docker 20.10 never hears of a command that ends while there is no containerd: the build has to begin after its death.
  const begun = async (): Promise<boolean> => victim === 'containerd' || (await running()) > before;
  const { code, stdout, stderr } = await day.during(victim, begun, args);
  if (victim === 'core') await eru.ok(args, { timeoutMs: 120_000 });
  else expect({ code, stdout, stderr }).toMatchObject({ code: 0 });
  return `${day.base.replace(/\/.*/, '')}/clock:2`;
}

async function filesGoBothWays(day: ContainerDay, id: string): Promise<void> {
  const { eru } = day.apart;
  const [sent, back] = [path.join(eru.data, 'sent'), path.join(eru.data, 'back')];
  await writeFile(sent, 'there and back\n');
  await eru.ok(['cp', sent, `${id}:/tmp/file`]);
  expect(await eru.exec([id, '--', 'sh', '-c', 'cat /tmp/file; exit 3'])).toMatchObject({
    stdout: 'there and back\n',
    code: 3,
  });
  await eru.ok(['cp', `${id}:/tmp/file`, back]);
  expect(await readFile(back, 'utf8')).toBe('there and back\n');
}

/** Whom a death has kept is asked for again, by name. */
async function replaceAll(
  day: ContainerDay,
  { spec, image, victim }: { spec: string; image: string; victim: Victim },
  ours: () => Promise<Container[]>,
): Promise<void> {
  const args = ['replace', spec, '--entry', 'tick', '--image', image, '--window', '5'];
  const some = async (): Promise<boolean> => (await ours()).some((one) => one.image === image);
  await day.during(victim, some, args);
  await day.comesToRest();
  const kept = (await ours()).filter((one) => one.image !== image);
  if (kept.length === 0) return;
  await day.apart.eru.ok([...args, ...kept.flatMap(({ id }) => ['--workload', id])], { timeoutMs: 120_000 });
}

/** What Eru says of each container is what docker says, and what its policy asks for: dockerd has died once. */
async function expectTruth(day: ContainerDay, once: string, liveRestore: boolean): Promise<void> {
  await day.comesToRest();
  await retry(async () => {
    const said = (await day.apart.eru.ps()).map(({ id, node: at, running }) => ({ id, at, running }));
    const found = (await day.containers()).map(({ id, state }) => ({ id, at: node, running: state === 'running' }));
    expect(said.toSorted(byId)).toEqual(found.toSorted(byId));
    expect(found).toHaveLength(count + 1);
    expect(found.filter(({ running }) => !running).map(({ id }) => id)).toEqual(liveRestore ? [] : [once]);
  }, patience);
}

function runsOf(containers: readonly Container[]): unknown {
  return containers.map(({ id, startedAt }) => ({ id, startedAt })).toSorted(byId);
}

function byId(a: { id: string }, b: { id: string }): number {
  return a.id < b.id ? -1 : 1;
}
