import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

import type { CallContext, ClientCertificate } from '@eru/contract';
import { EruError, type Clock } from '@eru/kit';

import type { Context } from '../../context.ts';
import { isJoinSecret, joinOf } from '../../trust/join-tokens.ts';
import { nodeCallerOf, type NodeCaller } from '../../nodes/certificates.ts';
import { roles } from '../../state/records.ts';
import { holderOf } from '../../trust/tokens.ts';
import { permits, roleFor, type Access } from './roles.ts';

/** One pair for everybody: a metadata entry whose key is the user name and whose value is the password (section 1.2). */
export interface Credential {
  username: string;
  password: string;
}

/** Who is asking. */
export interface Principal {
  name: string;
  role: Access;
  /** The machine of a node, and what it has shown. */
  caller?: NodeCaller;
}

type Caller = Pick<CallContext, 'metadata' | 'certificate' | 'peer' | 'method'>;

/**
 * Decides who may do what. A caller shows one of: the pair of the original's clients (or the same as basic
 * authentication), `authorization: Bearer TOKEN`, or, under TLS, a certificate whose common name is `ROLE:NAME`, or that of
 * a node which stands in the node's record.
 */
export class Gate {
  readonly #context: Pick<Context, 'view' | 'clock'>;
  #credential: Credential;
  readonly #failures: Failures;
  readonly #admitted = new WeakMap<object, Principal>();

  constructor(context: Pick<Context, 'view' | 'clock'>, credential: Credential) {
    this.#context = context;
    this.#credential = credential;
    this.#failures = new Failures(context.clock);
  }

  /**
   * @throws EruError `unauthenticated` with the original's texts, after a pause for a peer that keeps guessing; `forbidden`
   * when the caller's role does not reach
   */
  admit(call: Caller): void | Promise<void> {
    let principal: Principal;
    try {
      principal = this.#identify((name) => call.metadata.get(name), call.certificate);
    } catch (error) {
      return this.#failures.refuse(call.peer, error);
    }
    if (!permits(principal.role, call.method)) {
      const wanted = roleFor(call.method);
      throw new EruError(
        'forbidden',
        `${call.method.name} needs the role ${wanted}; ${principal.name} has ${principal.role}`,
        { details: { wanted, role: principal.role } },
      );
    }
    this.#admitted.set(call, principal);
  }

  /** From now on this pair is wanted. Tokens and certificates stay as they are. */
  setCredential(credential: Credential): void {
    this.#credential = credential;
  }

  principalOf(call: object): Principal | undefined {
    return this.#admitted.get(call);
  }

  /** The same for plain HTTP paths. */
  admits({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
    try {
      this.#identify((name) => {
        const value = headers[name];
        return typeof value === 'string' ? value : undefined;
      }, undefined);
      return true;
    } catch {
      return false;
    }
  }

  #identify(header: (name: string) => string | undefined, certificate: ClientCertificate | undefined): Principal {
    const [scheme = '', shown = ''] = (header('authorization') ?? '').split(' ');
    if (scheme.toLowerCase() === 'bearer') return this.#byToken(shown);
    const { username, password } = this.#credential;
    if (scheme.toLowerCase() === 'basic') {
      if (!same(Buffer.from(shown, 'base64').toString(), `${username}:${password}`)) throw wrongPassword();
      return { name: username, role: 'admin' };
    }
    // Clients lower-case metadata keys, so that is compared.
    const given = header(username.toLowerCase());
    if (given !== undefined) {
      if (!same(given, password)) throw wrongPassword();
      return { name: username, role: 'admin' };
    }
    if (certificate !== undefined) return this.#byNode(certificate) ?? byCertificate(certificate.name);
    throw new EruError('unauthenticated', 'invalid grpc username');
  }

  #byNode(certificate: ClientCertificate): Principal | undefined {
    const caller = nodeCallerOf(this.#context.view, certificate);
    return caller && { name: `node ${caller.node}`, role: 'node', caller };
  }

  #byToken(secret: string): Principal {
    if (isJoinSecret(secret))
      return { name: `token for node ${joinOf(this.#context, secret).value.node}`, role: 'join' };
    const holder = holderOf(this.#context, secret);
    if (holder === undefined) throw new EruError('unauthenticated', 'the token is not known, or has expired');
    return { name: `token ${holder.name}`, role: holder.role };
  }
}

/** That its authority is ours was checked with the connection. */
function byCertificate(commonName: string): Principal {
  const [, shown, name] = /^([^:]+):(.+)$/.exec(commonName) ?? [];
  const role = roles.find((known) => known === shown);
  if (role === undefined || name === undefined)
    throw new EruError(
      'unauthenticated',
      `the certificate is of ${JSON.stringify(commonName)}; a name such as operate:ci says its role`,
    );
  return { name: `certificate ${name}`, role };
}

const patience = { failures: 10, withinMs: 60_000, pauseMs: 1_000, peers: 10_000 };

/** Slows down who keeps showing wrong credentials. Nobody is locked out: what is right passes at once. */
class Failures {
  readonly #clock: Clock;
  readonly #byHost = new Map<string, { count: number; sinceMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Throws `error`, later when this peer has had many. */
  refuse(peer: string, error: unknown): Promise<never> {
    const host = peer.replace(/:\d+$/, '');
    const now = this.#clock.monotonic();
    const known = this.#byHost.get(host);
    const entry = known !== undefined && now - known.sinceMs < patience.withinMs ? known : { count: 0, sinceMs: now };
    entry.count += 1;
    if (this.#byHost.size >= patience.peers) this.#byHost.clear();
    this.#byHost.set(host, entry);
    if (entry.count <= patience.failures) throw error;
    return this.#clock.sleep(patience.pauseMs).then(() => {
      throw error;
    });
  }
}

function wrongPassword(): EruError {
  return new EruError('unauthenticated', 'invalid grpc password');
}

/** In a time that does not tell how much of it is right. */
function same(a: string, b: string): boolean {
  return timingSafeEqual(digest(a), digest(b));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
