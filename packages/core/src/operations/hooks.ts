import { EruError } from '@eru/kit';
import type { Engine } from '@eru/engines';

/** What hooks have printed, and whether one that must not fail has. */
export interface HookOutcome {
  output: Uint8Array;
  failure: EruError | undefined;
}

/**
 * Runs commands inside a workload, one after the other (reference/core-rpc.md section 4.11). With `mandatory` the first
 * failure ends it; otherwise failures join the output and the rest goes on.
 */
export async function runHooks(
  engine: Engine,
  id: string,
  commands: readonly string[],
  options: { mandatory: boolean; env: readonly string[]; user: string; signal: AbortSignal },
): Promise<HookOutcome> {
  const chunks: Uint8Array[] = [];
  for (const command of commands) {
    const { output, error } = await runHook(engine, id, command, options);
    chunks.push(output);
    if (error === undefined) continue;
    if (options.mandatory) return { output: Buffer.concat(chunks), failure: error };
    if (output.length === 0) chunks.push(new TextEncoder().encode(`${error.message}\n`));
  }
  return { output: Buffer.concat(chunks), failure: undefined };
}

async function runHook(
  engine: Engine,
  id: string,
  command: string,
  { env, user, signal }: { env: readonly string[]; user: string; signal: AbortSignal },
): Promise<{ output: Uint8Array; error: EruError | undefined }> {
  const chunks: Uint8Array[] = [];
  try {
    const session = await engine.exec(
      id,
      { command: splitCommand(command), env, dir: '', user, stdin: false, tty: false },
      { signal },
    );
    for await (const { data } of session.output) chunks.push(data);
    const code = await session.exit;
    const output = Buffer.concat(chunks);
    if (code === 0) return { output, error: undefined };
    return { output, error: new EruError('failed', output.toString().trim() || `hook ${command} ended with ${code}`) };
  } catch (error) {
    return { output: Buffer.concat(chunks), error: EruError.from(error) };
  }
}

/**
 * The original's splitting: at single blanks; a part that begins with a quote opens an argument up to a part that ends with
 * the same quote; empty parts vanish; no escapes.
 */
export function splitCommand(command: string): string[] {
  const parts: string[] = [];
  let quoted: { quote: string; words: string[] } | undefined;
  for (const word of command.split(' ')) {
    if (quoted !== undefined) {
      quoted.words.push(word);
      if (!word.endsWith(quoted.quote)) continue;
      parts.push(quoted.words.join(' ').slice(1, -1));
      quoted = undefined;
    } else if (/^['"]/.test(word) && !(word.length > 1 && word.endsWith(word.charAt(0)))) {
      quoted = { quote: word.charAt(0), words: [word] };
    } else if (/^['"]/.test(word)) {
      parts.push(word.slice(1, -1));
    } else if (word !== '') parts.push(word);
  }
  // A quote that is never closed is taken as it stands.
  if (quoted !== undefined) parts.push(...quoted.words);
  return parts;
}
