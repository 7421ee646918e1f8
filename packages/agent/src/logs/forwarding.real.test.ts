import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import dgram from 'node:dgram';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { WorkloadState } from '@eru/engines';
import { SimulatedMachine } from '@eru/engines';
import { seededRandom, silentLogger, systemClock } from '@eru/kit';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import type { ForwardingSettings } from './forwarding.ts';
import { Forwarding } from './forwarding.ts';
import { JournalTarget } from './journal-target.ts';
import { logSpec, Receiver, type Received } from './receiver.suite.ts';
import { targetOf } from './target-choice.ts';

const perl = 'perl';
let folder: string;
let machine: SimulatedMachine;
let receivers: Receiver[];
let open: Forwarding[];

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'eru-agent-logs-'));
  machine = new SimulatedMachine({ name: 'n1', clock: systemClock, random: seededRandom(3) });
  receivers = [];
  open = [];
});

afterEach(async () => {
  await Promise.all(open.map((forwarding) => forwarding.close()));
  await Promise.all(receivers.map((receiver) => receiver.stop()));
  await rm(folder, { recursive: true, force: true });
});

async function receiver(port?: number): Promise<Receiver> {
  const started = await Receiver.start(port);
  receivers.push(started);
  return started;
}

async function forward(settings: ForwardingSettings): Promise<Forwarding> {
  const forwarding = await Forwarding.open({
    ...settings,
    engine: machine.engine(),
    folder,
    clock: systemClock,
    random: seededRandom(1),
    logger: silentLogger,
  });
  open.push(forwarding);
  return forwarding;
}

async function workload(name: string): Promise<WorkloadState> {
  const engine = machine.engine();
  const { id } = await engine.create(logSpec(name));
  await engine.start(id);
  return engine.inspect(id);
}

/** Stops it and waits until that is noticed: what is on its way in this moment is in doubt, and not sent again. */
async function gone(receiver: Receiver, forwarding: Forwarding): Promise<void> {
  const { url } = receiver;
  await receiver.stop();
  await expect.poll(() => forwarding.figures().find((target) => target.url === url)?.up).toBe(false);
}

const dataOf = (received: readonly Received[]): string[] => received.map(({ data }) => data);

test('lines arrive from the start of a workload on, and go on where they were after a restart of the agent', async () => {
  const to = await receiver();
  const first = await forward({ forwards: [to.url] });
  const state = await workload('shop_web_AbCdEf');
  await machine.print(state.id, 'one\n');
  first.inPod('default');
  first.seen(state);
  await machine.print(state.id, 'two\n', 'stderr');
  await to.until(3);
  await first.close();
  await machine.print(state.id, 'three\nfour\n');
  const second = await forward({ forwards: [to.url] });
  second.seen(state);
  await to.until(5);
  expect(dataOf(to.lines)).toEqual(['ready', 'one', 'two', 'three', 'four']);
  expect(to.lines.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5]);
  expect(to.lines[2]).toMatchObject({
    id: state.id,
    name: 'shop',
    type: 'stderr',
    entrypoint: 'web',
    ident: 'AbCdEf',
    extra: { podname: 'default', nodename: 'n1', coreid: 'c1' },
  });
});

test('a workload that was there before the agent gives what it says from then on', async () => {
  const to = await receiver();
  const state = await workload('shop_web_AbCdEf');
  await machine.print(state.id, 'before\n');
  await new Promise((resolve) => setTimeout(resolve, 5));
  const forwarding = await forward({ forwards: [to.url] });
  forwarding.seen(state);
  await machine.print(state.id, 'after\n');
  await to.until(1);
  expect(dataOf(to.lines)).toEqual(['after']);
});

test('a receiver that is away loses nothing', async () => {
  const to = await receiver();
  const { port } = to;
  const forwarding = await forward({ forwards: [to.url] });
  const state = await workload('shop_web_AbCdEf');
  forwarding.seen(state);
  await to.until(1);
  await gone(to, forwarding);
  for (let line = 0; line < 100; line++) await machine.print(state.id, `${line}\n`);
  const back = await receiver(port);
  await back.until(100);
  expect(dataOf(back.lines)).toEqual(Array.from({ length: 100 }, (_, line) => String(line)));
  expect(forwarding.figures()[0]).toMatchObject({ lines: 101, inDoubt: 0, refused: 0, queuedBytes: 0 });
});

test('the next target stands in for one that is away, until it is back', async () => {
  const [one, two] = [await receiver(), await receiver()];
  const forwarding = await forward({ forwards: [one.url, two.url] });
  const state = await workload('shop_web_AbCdEf');
  const [own, other] = targetOf(state.id, 2) === 0 ? [one, two] : [two, one];
  const { port } = own;
  forwarding.seen(state);
  await own.until(1);
  await gone(own, forwarding);
  await machine.print(state.id, 'elsewhere\n');
  await other.until(1);
  const back = await receiver(port);
  await expect.poll(() => forwarding.figures().every(({ up }) => up)).toBe(true);
  await machine.print(state.id, 'home\n');
  await back.until(1);
  expect([own, other, back].map(({ lines }) => dataOf(lines))).toEqual([['ready'], ['elsewhere'], ['home']]);
});

test('with a spool, lines wait on disk for the receiver, over a restart of the agent', async () => {
  const to = await receiver();
  const { port } = to;
  const settings = { forwards: [to.url], queueBytes: 64 * 1024, spoolBytes: 16 * 1024 * 1024 };
  const first = await forward(settings);
  const state = await workload('shop_web_AbCdEf');
  first.seen(state);
  await to.until(1);
  await gone(to, first);
  const text = 'x'.repeat(1000);
  for (let line = 0; line < 1000; line++) await machine.print(state.id, `${line} ${text}\n`);
  await expect.poll(() => first.figures()[0]?.spooledBytes).toBeGreaterThan(1_000_000);
  await first.close();
  const back = await receiver(port);
  const second = await forward(settings);
  second.seen(state);
  await back.until(1000);
  expect(back.lines.map(({ seq }) => seq)).toEqual(Array.from({ length: 1000 }, (_, line) => line + 2));
  await expect.poll(() => second.figures()[0]?.spooledBytes).toBe(0);
});

test('datagrams carry a line each; one that is too long is counted', async () => {
  const socket = dgram.createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const got: string[] = [];
  socket.on('message', (data) => got.push(data.toString()));
  try {
    const forwarding = await forward({ forwards: [`udp://127.0.0.1:${socket.address().port}`] });
    const state = await workload('shop_web_AbCdEf');
    forwarding.seen(state);
    await machine.print(state.id, `${'x'.repeat(70_000)}\nshort\n`);
    await expect.poll(() => got.length).toBe(2);
    expect(got.map((line) => (JSON.parse(line) as Received).data)).toEqual(['ready', 'short']);
    expect(got[0]?.endsWith('}\n')).toBe(true);
    expect(forwarding.figures()[0]).toMatchObject({ lines: 2, refused: 1 });
  } finally {
    socket.close();
  }
});

describe('the journal', () => {
  test('gets native datagrams, and whoever is too long is counted', async () => {
    const at = path.join(folder, 'journal');
    const listener = spawn(perl, ['-e', journalListener, at], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = createInterface({ input: listener.stdout })[Symbol.asyncIterator]();
    expect((await lines.next()).value).toBe('listening');
    const life = new AbortController();
    const target = new JournalTarget('journal://', { clock: systemClock, random: seededRandom(1) }, at);
    const connected = new Promise<void>((resolve) => {
      target.run(life.signal, resolve).catch(() => {});
    });
    try {
      await connected;
      const record = { id: 'x', name: 'shop', type: 'stdout', entrypoint: 'web', ident: 'AbCdEf', datetime: 'd' };
      const line = (data: string): Buffer => Buffer.from(JSON.stringify({ ...record, data, extra: { a: 'b' } }));
      expect(await target.send([line('hello'), line('x'.repeat(3_000_000)), line('two\nlines')])).toEqual({
        inDoubt: 0,
        refused: 1,
      });
      const fields = ['ID=x', 'TYPE=stdout', 'ENTRY_POINT=web', 'IDENT=AbCdEf', 'DATE_TIME=d', 'EXTRA={"a":"b"}'];
      const rest = ['PRIORITY=6', 'SYSLOG_IDENTIFIER=shop', ...fields].join('|');
      expect((await lines.next()).value).toBe(`MESSAGE=message hello|${rest}|`);
      expect((await lines.next()).value).toBe(`MESSAGE|11000000 00000000|message two|lines|${rest}|`);
    } finally {
      life.abort();
      listener.kill('SIGKILL');
      await once(listener, 'close');
    }
  });
});

/** Prints each datagram on a line of its own: newlines as bars, the length of a field in hex. */
const journalListener = `
use Socket; $| = 1;
socket(my $in, AF_UNIX, SOCK_DGRAM, 0) or die;
bind($in, sockaddr_un($ARGV[0])) or die;
print "listening\\n";
while (defined(recv($in, my $data, 1 << 20, 0))) {
  $data =~ s/^(MESSAGE)\\n(.{4})(.{4})/$1 . "|" . unpack("H8", $2) . " " . unpack("H8", $3) . "|"/se;
  $data =~ s/\\n/|/g; print "$data\\n";
}`;
