import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';

import { childEnvironment, retry } from '@eru/kit';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { patience } from './apart.ts';
import { command, EruUnderTest, traces, type Listed, type Traces } from './eru.ts';
import { describeAsRoot } from './parts.ts';
import { Terminal } from './terminal.ts';

const app = `appname: term
pod: default
entrypoints:
  sleeper:
    commands: [sleep, infinity]
  # A line every few milliseconds that says which life wrote it and which number it is.
  counter:
    log: { type: json-file, config: { max-size: 8K, max-file: '5' } } # a file every half second
    commands: [sh, -c, 'life=$(date +%s%N); i=0; while :; do i=$((i+1)); echo "$life $i"; sleep 0.002; done']
`;

function suite(): void {
  let eru: EruUnderTest;
  let folder: string;
  let before: Traces;
  let sleeper: Listed;

  beforeAll(async () => {
    before = await traces();
    folder = await mkdtemp(path.join(tmpdir(), 'eru-whole-specs-'));
    eru = await EruUnderTest.create();
    expect(await eru.up()).toMatchObject({ code: 0 });
    await writeFile(path.join(folder, 'app.yaml'), app);
    sleeper = await deploy('sleeper');
  });
  afterAll(async () => {
    await eru.ok(['down', '--all']);
    expect(await traces()).toEqual(before);
    await eru.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function deploy(entry: string): Promise<Listed> {
    await eru.ok(['deploy', path.join(folder, 'app.yaml'), '--entry', entry, '--memory', '64M', '--wait']);
    return (await eru.ps()).find(({ entrypoint }) => entrypoint === entry) as Listed;
  }

  describe('eru exec -it', () => {
    let terminal: Terminal;

    function exec(...words: string[]): Terminal {
      const line = [process.execPath, command, '--data', eru.data, 'exec', '-it', sleeper.name, ...words] as const;
      terminal = new Terminal([...line], { rows: 30, cols: 100 });
      return terminal;
    }
    afterEach(() => terminal.close());

    it('is a working shell: size, resize, Ctrl-C for its command only, Ctrl-D, exit code', async () => {
      const shell = exec('sh');
      shell.type('stty size\r');
      await shell.read(/\b30 100\b/);
      shell.resize(132, 43);
      // The size travels beside the input: asked until it has come.
      await retry(async () => {
        shell.type('stty size; echo ask""ed\r');
        expect(await shell.read(/(\d+ \d+)\s+asked/)).toMatch(/^43 132/);
      }, patience);
      shell.type('echo pid=$$\r');
      const pid = await shell.read(/pid=\d+/);
      shell.type('echo slee""ping; sleep 1000; echo code=$?\r');
      await shell.read(/sleeping/);
      shell.type('\u0003');
      shell.type('echo code=$?\r');
      await shell.read(/code=130/);
      shell.type('echo pid=$$\r');
      expect(await shell.read(/pid=\d+/)).toBe(pid);
      shell.type('exit 7\r');
      expect(await shell.exit).toBe(7);
    });

    it('ends with its shell at Ctrl-D', async () => {
      const shell = exec('sh');
      shell.type('echo rea""dy\r');
      await shell.read(/ready/);
      shell.type('\u0004');
      expect(await shell.exit).toBe(0);
    });
  });

  it('echo hi | eru exec -i X cat ends by itself', async () => {
    const piped = await eru.exec(['-i', sleeper.id.slice(0, 8), 'cat'], { input: 'hi\n' });
    expect(piped).toMatchObject({ code: 0, stdout: 'hi\n', stderr: '' });
  });

  it('eru logs -f goes on over restarts and rotations, and neither loses nor doubles a line', async () => {
    const counter = await deploy('counter');
    const follow = spawn(process.execPath, [command, 'logs', '-f', counter.name, '--data', eru.data], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: childEnvironment(),
    });
    const said = text(follow.stderr);
    const lines: string[] = [];
    let rest = '';
    follow.stdout.setEncoding('utf8').on('data', (data: string) => {
      const whole = `${rest}${data}`.split('\n');
      rest = whole.pop() ?? '';
      lines.push(...whole);
    });
    const lives = (): Set<string> => new Set(lines.map((line) => line.split(' ')[0] as string));
    for (const wanted of [1, 2, 3]) {
      const seen = lines.length;
      // More lines than two files hold.
      await retry(() => Promise.resolve(expect(lines.length).toBeGreaterThan(seen + 400)), { ...patience, maxMs: 500 });
      expect(lives().size).toBe(wanted);
      if (wanted < 3) await eru.ok(['restart', counter.name]);
    }
    const files = await readdir(path.join(eru.data, 'runtime/workloads', counter.id, 'log'));
    expect(files.length).toBeGreaterThan(1);
    await eru.ok(['rm', counter.name]);
    const [code] = (await once(follow, 'exit')) as [number];
    expect({ code, said: await said }).toEqual({ code: 0, said: '' });
    for (const life of lives()) {
      const numbers = lines.filter((line) => line.startsWith(`${life} `)).map((line) => Number(line.split(' ')[1]));
      expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, index) => index + 1));
    }
  });
}

describeAsRoot(['runc', 'conmon'], 'a terminal and a long log', suite);
