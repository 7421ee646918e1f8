import { unbegunCode, type Session } from '@eru/engines';
import { Queue } from '@eru/kit';
import { setTimeout as sleep } from 'node:timers/promises';

import { heldPieces } from '../process/session.ts';

/** What a runtime says, and all it says, when the command of an exec could not begin; it ends with a code of its own. The second form is for terminals. */
const complaints = [
  /^time="[^"]*" level=error msg="exec failed: (?:unable to start container process: )?(.*)"\r?\n$/s,
  /^\S*ERRO\S*\[\d+\]\S* exec failed: (?:unable to start container process: )?(.*?)\s*$/s,
];
const ownCodes = new Set([1, 255]);

/** How long a command that has ended may take to say its first words: a process that it left may hold its pipes. */
const lastWordsMs = 1000;

/** A shell's codes and plain words where the command of an exec could not begin: 127 not found, 126 not allowed to run. */
export function plainOutcome(session: Session): Session {
  const output = new Queue<{ stream: 'stdout' | 'stderr'; data: Uint8Array }>(heldPieces);
  let tell = (_message: string | undefined): void => {};
  const refusal = new Promise<string | undefined>((resolve) => {
    tell = resolve;
  });
  const pump = async (): Promise<void> => {
    let first = true;
    for await (const piece of session.output) {
      const words = first ? complaintIn(Buffer.from(piece.data).toString()) : undefined;
      if (first) tell(words);
      first = false;
      await output.put(words === undefined ? piece : { ...piece, data: Buffer.from(`${words}\n`) });
    }
  };
  void pump()
    .then(
      () => output.end(),
      (error: unknown) => output.end(error),
    )
    .finally(() => tell(undefined));
  const exit = session.exit.then(async (code) => {
    if (!ownCodes.has(code)) return code;
    const words = await Promise.race([refusal, sleep(lastWordsMs, undefined)]);
    return words === undefined ? code : unbegunCode(words);
  });
  exit.catch(() => {}); // Whoever asks is told.
  return { ...session, output, exit };
}

function complaintIn(text: string): string | undefined {
  const message = complaints.map((form) => form.exec(text)?.[1]).find((found) => found !== undefined);
  return message?.replaceAll(/\\(.)/g, '$1');
}
