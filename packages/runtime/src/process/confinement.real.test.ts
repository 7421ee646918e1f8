import { afterEach, expect, it } from 'vitest';

import { describeAsRoot } from '../../../../tests/parts.ts';
import { TestNode } from '../node.suite.ts';
import { lines, specOf } from '../spec.suite.ts';

/** By the kernel's numbers: Perl, which Debian always has, makes any call. */
const numbers = { x64: { ptrace: 101, keyctl: 250 }, arm64: { ptrace: 117, keyctl: 219 } } as const;
const { ptrace, keyctl } = numbers[process.arch as keyof typeof numbers];

/** What it may, as it finds out by trying: its capabilities, then the outcome of each attempt. */
const script = `
grep -E "^(CapEff|CapBnd|NoNewPrivs|Seccomp):" /proc/self/status
mount -t tmpfs none /mnt 2>/dev/null && echo mount
perl -e 'exit(syscall(${ptrace}, 0, 0, 0, 0) < 0)' && echo ptrace
perl -e 'exit(syscall(${keyctl}, 0, -3, 0, 0, 0) < 0)' && echo keyctl
unshare --user true 2>/dev/null && echo namespace
chown 1:1 /tmp 2>/dev/null && echo chown
true`;

describeAsRoot(['runc', 'conmon'], 'what a process may', () => {
  let node: TestNode | undefined;
  afterEach(() => node?.close());

  async function found(more: Parameters<typeof specOf>[1]): Promise<{ status: string[]; may: string[] }> {
    node ??= await TestNode.create('conmon');
    const engine = await node.engine();
    const { id } = await engine.create(specOf(['/bin/sh', '-c', script], more));
    await engine.start(id);
    expect(await engine.wait(id)).toMatchObject({ exitCode: 0 });
    const said = (await lines(engine, id)).map((line) => line.replace(':\t', ' '));
    await engine.close();
    return { status: said.filter((line) => line.includes(' ')), may: said.filter((line) => !line.includes(' ')) };
  }

  it('is little by default, what is asked for, or everything', { timeout: 60_000 }, async () => {
    const none = '0000000000000000';
    // The fourteen of docs/engines.md.
    const usual = '00000000a80425fb';
    const confined = ['NoNewPrivs 1', 'Seccomp 2'];
    expect(await found({})).toEqual({ status: [`CapEff ${usual}`, `CapBnd ${usual}`, ...confined], may: ['chown'] });
    expect(await found({ user: '65534' })).toEqual({
      status: [`CapEff ${none}`, `CapBnd ${usual}`, ...confined],
      may: [],
    });
    const raw = { cap_add: ['SYS_PTRACE'], cap_drop: ['ALL'] };
    expect(await found({ rawArgs: Buffer.from(JSON.stringify(raw)) })).toEqual({
      status: ['CapEff 0000000000080000', 'CapBnd 0000000000080000', ...confined],
      may: ['ptrace'],
    });
    const privileged = await found({ privileged: true });
    expect(privileged.status).toContain('Seccomp 0');
    expect(privileged.may).toEqual(expect.arrayContaining(['mount', 'ptrace', 'chown']));
  });
});
