import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';

import { childEnvironment, EruError } from '@eru/kit';

import { keepConnected } from './keep-connected.ts';
import type { Sent, Target, TargetContext, TargetState } from './target.ts';
import { allSent } from './target.ts';

const perl = 'perl';
const journalSocket = '/run/systemd/journal/socket';

/** Node has no datagrams in the file system's name space; perl, which Debian cannot do without, has. Frames come with their length, refusals go back as a byte each. */
const program = `
use Socket; $| = 1; binmode STDIN;
socket(my $out, AF_UNIX, SOCK_DGRAM, 0) or exit 1;
connect($out, sockaddr_un($ARGV[0])) or exit 1;
print "+";
while (read(STDIN, my $head, 4) == 4) {
  my $size = unpack("N", $head); my $frame = "";
  while (length($frame) < $size) { read(STDIN, $frame, $size - length($frame), length($frame)) or exit 0; }
  print(defined(send($out, $frame, 0)) ? "." : "-");
}`;

/** journald's native datagrams. */
export class JournalTarget implements Target {
  readonly url: string;
  state: TargetState = 'new';
  readonly #context: TargetContext;
  readonly #path: string;
  #sender: Sender | undefined;

  /** `path` is journald's, except in tests. */
  constructor(url: string, context: TargetContext, path = journalSocket) {
    this.url = url;
    this.#context = context;
    this.#path = path;
  }

  run(signal: AbortSignal, onChange: () => void): Promise<void> {
    let opened: Sender | undefined;
    return keepConnected(
      this.#context,
      signal,
      async () => {
        if (!existsSync(this.#path)) throw new EruError('unavailable', `${this.#path}: journald is not here`);
        const sender = new Sender(this.#path);
        opened = sender;
        signal.addEventListener('abort', () => sender.end(), { once: true });
        await sender.ready;
        return { ended: sender.ended };
      },
      (is) => {
        this.#sender = is ? opened : undefined;
        this.state = is ? 'up' : 'down';
        onChange();
      },
    );
  }

  send(lines: readonly Buffer[]): Promise<Sent> {
    return this.#sender?.send(lines.map(frameOf)) ?? Promise.resolve({ inDoubt: lines.length, refused: 0 });
  }

  reset(): void {
    this.#sender?.end();
  }
}

/** A process that sends frames as datagrams and tells of each whether it was taken. */
class Sender {
  readonly ready: Promise<void>;
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  #pending: { left: number; sent: Sent; resolve: (sent: Sent) => void } | undefined;

  constructor(path: string) {
    const child = spawn(perl, ['-e', program, path], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: childEnvironment(),
    });
    this.#child = child;
    child.stdin?.on('error', () => {}); // its end follows
    this.ended = new Promise((resolve) => {
      child.once('error', () => resolve());
      child.once('close', () => resolve());
    });
    this.ready = new Promise((resolve, reject) => {
      child.stdout?.once('data', () => resolve());
      void this.ended.then(() => reject(new EruError('unavailable', 'journal:// needs perl and journald')));
    });
    child.stdout?.on('data', (answers: Buffer) => this.#answered(answers.toString('latin1')));
    void this.ended.then(() => {
      if (this.#pending !== undefined) this.#settle({ ...this.#pending.sent, inDoubt: this.#pending.left });
    });
  }

  send(frames: readonly Buffer[]): Promise<Sent> {
    if (frames.length === 0) return Promise.resolve(allSent);
    return new Promise((resolve) => {
      this.#pending = { left: frames.length, sent: allSent, resolve };
      this.#child.stdin?.write(Buffer.concat(frames));
    });
  }

  end(): void {
    this.#child.kill('SIGKILL');
  }

  #answered(answers: string): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    const outcomes = answers.replace('+', '');
    pending.left -= outcomes.length;
    pending.sent = { ...pending.sent, refused: pending.sent.refused + outcomes.replaceAll('.', '').length };
    if (pending.left <= 0) this.#settle(pending.sent);
  }

  #settle(sent: Sent): void {
    const pending = this.#pending;
    this.#pending = undefined;
    pending?.resolve(sent);
  }
}

interface Parsed {
  id: string;
  name: string;
  type: string;
  entrypoint: string;
  ident: string;
  data: string;
  datetime: string;
  extra: unknown;
}

/** The fields of reference/agent.md section 12.3, with the length of the whole in front. */
function frameOf(line: Buffer): Buffer {
  const record = JSON.parse(line.toString('utf8')) as Parsed;
  const fields = {
    MESSAGE: `message ${record.data}`,
    PRIORITY: '6',
    SYSLOG_IDENTIFIER: record.name,
    ID: record.id,
    TYPE: record.type,
    ENTRY_POINT: record.entrypoint,
    IDENT: record.ident,
    DATE_TIME: record.datetime,
    EXTRA: JSON.stringify(record.extra),
  };
  const parts = Object.entries(fields).map(([name, value]) => field(name, Buffer.from(value)));
  const size = Buffer.alloc(4);
  size.writeUInt32BE(parts.reduce((sum, { length }) => sum + length, 0));
  return Buffer.concat([size, ...parts]);
}

function field(name: string, value: Buffer): Buffer {
  if (!value.includes(10)) return Buffer.concat([Buffer.from(`${name}=`), value, Buffer.from('\n')]);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(value.length));
  return Buffer.concat([Buffer.from(`${name}\n`), size, value, Buffer.from('\n')]);
}
