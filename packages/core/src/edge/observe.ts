import type { CallContext, MountedService } from '@eru/contract';

/** Called when a call begins; what it answers is called when it has ended, with the error if it failed. */
export type Observer = (call: CallContext, request: unknown) => (error: unknown) => void;

/** The same service, every call observed: streams to their end. */
export function observed({ service, handlers }: MountedService, begin: Observer): MountedService {
  const wrapped: Record<string, MountedService['handlers'][string]> = {};
  for (const [name, handler] of Object.entries(handlers)) {
    if (handler === undefined) continue;
    wrapped[name] = (request: never, call: CallContext) => {
      const end = begin(call, request);
      try {
        const answer = handler(request, call);
        return isStream(answer) ? observedStream(answer, end) : observedAnswer(answer as Promise<unknown>, end);
      } catch (error) {
        end(error);
        throw error;
      }
    };
  }
  return { service, handlers: wrapped };
}

function isStream(answer: unknown): answer is AsyncIterable<unknown> {
  return typeof answer === 'object' && answer !== null && Symbol.asyncIterator in answer;
}

async function observedAnswer(answer: Promise<unknown>, end: (error: unknown) => void): Promise<unknown> {
  let failure: unknown;
  try {
    return await answer;
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    end(failure);
  }
}

async function* observedStream(answers: AsyncIterable<unknown>, end: (error: unknown) => void): AsyncIterable<unknown> {
  let failure: unknown;
  try {
    yield* answers;
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    end(failure);
  }
}
