import { describe, expect, it } from 'vitest';

import type { Bench, EngineTraits } from './bench.suite.ts';
import { all, lineOf, refused, said } from './bench.suite.ts';
import type { LogEntry } from '../engine.ts';

export function streamTests(get: () => Bench, traits: EngineTraits): void {
  const lacks = (verb: 'attach'): boolean => traits.unsupported?.includes(verb) ?? false;

  describe('logs', () => {
    it('gives lines as they were printed, each with its stream', async () => {
      const bench = get();
      const { id } = await bench.created(bench.programs.speaks);
      await bench.engine.start(id);
      await bench.engine.wait(id);
      const entries = await all(bench.engine.logs(id));
      const line = (wanted: string): unknown => entries.find(({ stream }) => stream === wanted)?.data;
      expect(Buffer.from(line('stdout') as Uint8Array).toString()).toBe('out\n');
      expect(Buffer.from(line('stderr') as Uint8Array).toString()).toBe('err\n');
      expect(entries).toHaveLength(2);
      expect(Math.abs((entries[0]?.atMs ?? 0) - Date.now())).toBeLessThan(60_000);
    });

    it('begins at a tail or a time', async () => {
      const bench = get();
      const id = await bench.running(bench.programs.serves('one', 'two', 'three'));
      const lines = async (options: object): Promise<string[]> =>
        (await all(bench.engine.logs(id, options))).map(lineOf);
      expect(await lines({})).toEqual(['one', 'two', 'three', 'ready']);
      expect(await lines({ tail: 2 })).toEqual(['three', 'ready']);
      expect(await lines({ tail: 0 })).toEqual([]);
      expect(await lines({ tail: 100 })).toHaveLength(4);
      expect(await lines({ sinceMs: Date.now() + 60_000 })).toEqual([]);
      expect(await lines({ untilMs: 1 })).toEqual([]);
      expect(await lines({ sinceMs: 1, untilMs: Date.now() + 60_000 })).toHaveLength(4);
    });

    it('follows over a restart, and ends when the workload is removed', async () => {
      const bench = get();
      const id = await bench.running(bench.programs.serves('one'));
      const options = { follow: true, tail: 1, signal: AbortSignal.timeout(30_000) };
      const following = bench.engine.logs(id, options)[Symbol.asyncIterator]();
      const lines = async (count: number): Promise<string[]> => {
        const found: string[] = [];
        while (found.length < count) found.push(lineOf((await following.next()).value as LogEntry));
        return found;
      };
      expect(await lines(1)).toEqual(['ready']);
      await bench.engine.stop(id);
      await bench.engine.start(id);
      // What nobody has read of a workload goes with it.
      expect(await lines(2)).toEqual(['one', 'ready']);
      await bench.engine.remove(id, { force: true });
      expect(await following.next()).toMatchObject({ done: true });
    });

    it('stops following when nobody listens', async () => {
      const bench = get();
      const id = await bench.running();
      const leave = new AbortController();
      const entries = bench.engine.logs(id, { follow: true, tail: 0, signal: leave.signal });
      const next = entries[Symbol.asyncIterator]().next();
      leave.abort();
      await refused(next, 'canceled');
    });
  });

  describe('exec', () => {
    it('gives both streams and the exit code', async () => {
      const bench = get();
      const id = await bench.running();
      const session = await bench.exec(id, bench.programs.speaks);
      expect(await said(session)).toEqual({ stdout: 'out\n', stderr: 'err\n', code: 3 });
    });

    it('adds to the environment', async () => {
      const bench = get();
      const id = await bench.running(bench.programs.serves(), { env: ['A=workload', 'B=workload'] });
      const value = async (name: string): Promise<string> =>
        (await said(await bench.exec(id, bench.programs.env(name), { env: ['B=exec'] }))).stdout;
      expect(await value('A')).toBe('workload\n');
      expect(await value('B')).toBe('exec\n');
    });

    it('refuses what does not run, and no command', async () => {
      const bench = get();
      const { id } = await bench.created(bench.programs.serves());
      await refused(bench.exec(id, bench.programs.speaks), 'precondition');
      await bench.engine.start(id);
      await refused(bench.exec(id, []), 'invalid');
    });

    it('says why a program cannot begin where errors belong, and ends as a shell would', async () => {
      const bench = get();
      const id = await bench.running();
      const { stdout, stderr, code } = await said(await bench.exec(id, bench.programs.absent));
      expect({ stdout, code }).toEqual({ stdout: '', code: 127 });
      expect(stderr).toContain(bench.programs.absent[0]);
      expect(stderr).toMatch(/not found|no such file or directory/);
      expect(stderr).not.toMatch(/^OCI runtime|level=/);
    });

    it('reads input to its end, then ends by itself', async () => {
      const bench = get();
      const id = await bench.running();
      const session = await bench.exec(id, bench.programs.cat, { stdin: true });
      const output = said(session);
      const chunk = Buffer.alloc(100_000, 'x');
      for (let count = 0; count < 10; count++) await session.write(chunk);
      await session.closeStdin();
      await refused(session.write(chunk), 'precondition');
      const { stdout, code } = await output;
      expect(stdout.length).toBe(1_000_000);
      expect(code).toBe(0);
    });

    it('has no input unless asked', async () => {
      const bench = get();
      const id = await bench.running();
      const session = await bench.exec(id, bench.programs.cat);
      await refused(session.write(Buffer.from('x')), 'precondition');
      expect(await said(session)).toEqual({ stdout: '', stderr: '', code: 0 });
    });

    it('gives a terminal that can be resized', async () => {
      const bench = get();
      const id = await bench.running();
      const session = await bench.exec(id, bench.programs.size, {
        stdin: true,
        tty: true,
        size: { rows: 11, cols: 22 },
      });
      const output = session.output[Symbol.asyncIterator]();
      let seen = '';
      const until = async (text: string): Promise<void> => {
        while (!seen.includes(text)) {
          const { value, done } = await output.next();
          if (done === true) throw new Error(`ended after ${JSON.stringify(seen)}`);
          expect(value.stream).toBe('stdout');
          seen += Buffer.from(value.data).toString();
          // A terminal within a terminal hears of its size a moment later: ask again after each answer.
          if (/\d \d+\r?\n$/.test(seen) && !seen.includes(text)) await session.write(Buffer.from('\n'));
        }
      };
      await session.write(Buffer.from('\n'));
      await until('11 22');
      await session.resize({ rows: 33, cols: 44 });
      await session.write(Buffer.from('\n'));
      await until('33 44');
      await session.close();
    });

    it('ends the command when it is closed', async () => {
      const bench = get();
      const id = await bench.running();
      const session = await bench.exec(id, bench.programs.stubborn);
      await session.close();
      expect(await session.exit.catch((error: unknown) => error)).not.toBe(0);
      expect(await bench.engine.inspect(id)).toMatchObject({ state: 'running' });
    });

    it('delivers everything to a slow reader, and goes on without one', async () => {
      const bench = get();
      const id = await bench.running();
      const { stdout, code } = await said(await bench.exec(id, bench.programs.counts(20_000)));
      expect(stdout).toBe(Array.from({ length: 20_000 }, (_, index) => `${index + 1}\n`).join(''));
      expect(code).toBe(0);
      const session = await bench.exec(id, bench.programs.counts(20_000));
      for await (const _first of session.output) break;
      expect(await session.exit).toBe(0);
    });

    it('ends with its workload', async () => {
      const bench = get();
      const id = await bench.running();
      const session = await bench.exec(id, bench.programs.stubborn);
      await bench.engine.stop(id, { graceMs: 0 });
      expect(await session.exit).not.toBe(0);
    });
  });

  describe.skipIf(lacks('attach'))('attach', () => {
    it('joins the main process and leaves it as it was', async () => {
      const bench = get();
      const { id } = await bench.created(bench.programs.cat, { stdin: true });
      await refused(bench.engine.attach(id), 'precondition');
      await bench.engine.start(id);
      const session = await bench.engine.attach(id);
      const output = session.output[Symbol.asyncIterator]();
      await session.write(Buffer.from('hello\n'));
      let seen = '';
      while (!seen.includes('hello')) seen += Buffer.from((await output.next()).value?.data ?? []).toString();
      await session.close();
      await expect(session.exit).rejects.toThrow();
      expect(await bench.engine.inspect(id)).toMatchObject({ state: 'running' });
    });

    it('ends with its call, whatever the main process does', async () => {
      const bench = get();
      const left = new AbortController();
      const session = await bench.engine.attach(await bench.running(), { signal: left.signal });
      left.abort();
      await expect(session.exit).rejects.toThrow();
    });

    it('tells how the main process ended', async () => {
      const bench = get();
      const id = await bench.running();
      const session = await bench.engine.attach(id);
      await refused(session.write(Buffer.from('x')), 'precondition');
      await bench.engine.kill(id, 'SIGKILL');
      expect((await said(session)).code).toBe(137);
    });
  });
}
