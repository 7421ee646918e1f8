import type { Engine } from '@eru/engines';
import { bareSpec, SimulatedMachine } from '@eru/engines';
import { seededRandom, systemClock } from '@eru/kit';
import { beforeEach, describe, expect, it } from 'vitest';

import { runHooks, splitCommand, type HookOutcome } from './hooks.ts';

describe('splitCommand', () => {
  it.each([
    ['', []],
    ['  a   b ', ['a', 'b']],
    [`sh -c 'echo a  b'`, ['sh', '-c', 'echo a  b']],
    [`sh -c "it's one"`, ['sh', '-c', "it's one"]],
    [`"one" 'two'`, ['one', 'two']],
    [`a"b c"d`, ['a"b', 'c"d']],
    [`echo 'never closed at all`, ['echo', "'never", 'closed', 'at', 'all']],
    [`echo "`, ['echo', '"']],
    [`echo " x"`, ['echo', ' x']],
  ])('%j', (command, words) => {
    expect(splitCommand(command)).toEqual(words);
  });
});

describe('runHooks', () => {
  let engine: Engine;
  let id: string;

  beforeEach(async () => {
    const machine = new SimulatedMachine({ name: 'n1', clock: systemClock, random: seededRandom(1) });
    engine = machine.engine();
    ({ id } = await engine.create(spec));
    await engine.start(id);
  });

  const hooks = async (commands: string[], mandatory: boolean): Promise<[string, string | undefined]> => {
    const { output, failure }: HookOutcome = await runHooks(engine, id, commands, {
      mandatory,
      env: ['GREETING=hello'],
      user: '',
      signal: new AbortController().signal,
    });
    return [Buffer.from(output).toString(), failure?.message];
  };

  it('runs them one after the other, in the environment of the workload, and joins what they say', async () => {
    expect(await hooks(['echo one', 'env GREETING', 'speak'], false)).toEqual(['one\nhello\nout\nerr\n', undefined]);
  });

  it('lets a failure join the output, and goes on', async () => {
    expect(await hooks(['exit 4', 'echo after'], false)).toEqual(['hook exit 4 ended with 4\nafter\n', undefined]);
  });

  it('ends with the first failure of mandatory ones; what it said is the reason', async () => {
    expect(await hooks(['echo before', 'speak', 'echo after'], true)).toEqual(['before\nout\nerr\n', 'out\nerr']);
    expect(await hooks(['exit 4', 'echo after'], true)).toEqual(['', 'hook exit 4 ended with 4']);
  });

  it('takes an engine that cannot run them for a failure of the hook', async () => {
    await engine.remove(id, { force: true });
    const [output, failure] = await hooks(['echo one'], true);
    expect(output).toBe('');
    expect(failure).toMatch(/./);
    expect((await hooks(['echo one'], false))[1]).toBeUndefined();
  });
});

const spec = bareSpec('app_web_abcdef', ['server']);
