import { invalid } from '@eru/kit';
import { constants } from 'node:os';

/** `TERM`, `SIGTERM` or `15` as a number. */
export function parseSignal(text: string, field: string): number {
  const upper = text.toUpperCase();
  const name = upper.startsWith('SIG') ? upper : `SIG${upper}`;
  const number = /^\d+$/.test(text) ? Number(text) : (constants.signals as Readonly<Record<string, number>>)[name];
  if (number === undefined || number < 1 || number > 64)
    throw invalid(field, text, 'write a signal such as TERM, SIGHUP or 9');
  return number;
}

const { SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGKILL } = constants.signals;
const harmless: ReadonlySet<number> = new Set([SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU]);

/** Whether the kernel's own action for it is to end the process (signal(7)), and a process can decline it. */
export function endsByDefault(signal: number): boolean {
  return signal !== SIGKILL && !harmless.has(signal);
}
