import type { Core } from '@eru/client';
import { connectCore, findCore } from '@eru/client';
import { EruError, isEruError } from '@eru/kit';

import type { Context } from './context.ts';
import { say } from './output.ts';

/** Core waits up to 30 s for an engine; what it says then says more than a call that was given up. */
export const engineCallMs = 60_000;

export type Connection = Pick<Core, 'core' | 'eru'>;

/** Runs `use` with a connection to core, and says what to do about it when core cannot be reached or refuses. */
export async function withConnection<T>(context: Context, use: (connection: Connection) => Promise<T>): Promise<T> {
  const { data } = context.globals;
  const { found, ...core } = await findCore(context.globals);
  let told = false;
  const onOld = (ageMs: number): void => {
    if (!told) say(context, `as of ${Math.round(ageMs / 1000)} s ago: the store does not answer`);
    told = true;
  };
  const client = connectCore({ ...core, onOld });
  try {
    await client.ready();
    return await use(client);
  } catch (error) {
    throw withRemedy(error, { address: core.addresses, found, data, credential: core.credential !== undefined });
  } finally {
    client.close();
  }
}

function withRemedy(
  error: unknown,
  { address, found, data, credential }: { address: string; found: boolean; data: string; credential: boolean },
): unknown {
  const answered = isEruError(error) && error.details['answered'] === true;
  if (isEruError(error, 'timeout') && 'grpcCode' in error.details && !answered)
    return new EruError('timeout', `${error.message} from Eru at ${address}; what was asked may go on: \`eru op ls\``, {
      cause: error,
    });
  if (isEruError(error, 'unavailable') && !answered) {
    const hint = found
      ? 'is it running? `eru up` starts it'
      : `nothing in ${data} says where Eru runs; start it with \`eru up\`, or give --eru or --data`;
    return new EruError('unavailable', `no answer from Eru at ${address}: ${plainly(error.message)}; ${hint}`, {
      cause: error,
    });
  }
  if (isEruError(error, 'unauthenticated') || isRefusedLogin(error)) {
    const hint = credential
      ? 'the credential is not the one it was started with; check --username, --password, --token and --data'
      : `found no credential in ${data}; run this as the user who started Eru, or give --data, --token, or --username and --password`;
    return new EruError('unauthenticated', `Eru at ${address} refused: ${(error as Error).message}; ${hint}`, {
      cause: error,
    });
  }
  return error;
}

/** The original's core says so with status 2 (reference/core-rpc.md section 1.2). */
function isRefusedLogin(error: unknown): boolean {
  return (
    isEruError(error) &&
    /^(invalid grpc (request meta|username|password)|the (token|certificate) is )/.test(error.message)
  );
}

/** grpc-js adds its own story to the reason. */
function plainly(message: string): string {
  const known = /(?:connect )?(E[A-Z]{4,}|ENOTFOUND)/.exec(message)?.[1];
  if (known !== undefined) return known;
  const last = /Last error: (.*?)\.?(?: \([^)]*\))?\. Resolution note:/.exec(message)?.[1];
  return last === undefined ? message : `${last} (where core serves under TLS, --tls-ca says whom to trust)`;
}
