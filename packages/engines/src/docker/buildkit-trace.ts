import { fromBinary } from '@eru/contract';
import type { JsonObject } from '@eru/kit';

import { StatusResponseSchema, type Vertex } from '../gen/buildkit_pb.ts';

/** Turns what BuildKit tells of a build into lines as the classic builder has them: each step by a number, and what it prints. */
export class BuildkitTrace {
  /** Digest of a step -> its number and what was said of it last. */
  readonly #steps = new Map<string, { number: number; said: string }>();

  /** `trace` is base64 of a `StatusResponse`. */
  *read(trace: string): Generator<JsonObject> {
    const { vertexes, statuses, logs } = fromBinary(StatusResponseSchema, Buffer.from(trace, 'base64'));
    for (const vertex of vertexes) yield* this.#step(vertex);
    for (const { id, current, total } of statuses)
      yield { id, status: total > 0n ? `${current} of ${total} bytes` : `${current} bytes` };
    for (const { vertex, msg } of logs) yield { stream: this.#labelled(vertex, new TextDecoder().decode(msg)) };
  }

  *#step({ digest, name, cached, started, completed, error }: Vertex): Generator<JsonObject> {
    if (started === undefined && !cached) return;
    let step = this.#steps.get(digest);
    if (step === undefined) {
      step = { number: this.#steps.size + 1, said: '' };
      this.#steps.set(digest, step);
      yield { stream: `#${step.number} ${name}\n` };
    }
    const state = error !== '' ? `ERROR: ${error}` : cached ? 'CACHED' : completed === undefined ? '' : 'DONE';
    if (state === step.said) return;
    step.said = state;
    yield { stream: `#${step.number} ${state}\n` };
  }

  #labelled(digest: string, text: string): string {
    const number = this.#steps.get(digest)?.number ?? 0;
    return text.replaceAll(/^(?=[^])/gm, `#${number} `).replace(/\n?$/, '\n');
  }
}

/** The exit code of a command, which BuildKit tells in words alone. */
export function withExitCode(line: JsonObject): JsonObject {
  const code = /exit code: (\d+)/.exec(typeof line['error'] === 'string' ? line['error'] : '')?.[1];
  return code === undefined ? line : { ...line, errorDetail: { code: Number(code), message: line['error'] ?? '' } };
}
