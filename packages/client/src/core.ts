import type { Channel, Client, ClientTls, ConnectOptions } from '@eru/contract';
import { ageHeader, client, connect, eru, pb } from '@eru/contract';
import type { Clock } from '@eru/kit';
import { EruError, systemClock } from '@eru/kit';

import { parseAddresses } from './addresses.ts';
import { watchCores } from './discovery.ts';

const probeEveryMs = 10_000;
const probeTimeoutMs = 5_000;

export interface ConnectCoreOptions {
  /** In order of preference; see `parseAddresses` for the forms. */
  addresses: string | readonly string[];
  credential?: ClientCredential;
  /** Absent = clear text. */
  tls?: ClientTls;
  /** Told when an answer is as of a while ago, because core does not hear its store: its age in milliseconds. */
  onOld?: (ageMs: number) => void;
  /** Closes the client. */
  signal?: AbortSignal;
  clock?: Clock;
}

/** The pair that the original's clients show, or a token of `eru token create`. */
export type ClientCredential = { username: string; password: string } | { token: string };

/** Calls go to the first address that is alive at the moment a method is looked up (`client.core.info`). */
export interface Core {
  readonly core: Client<typeof pb.CoreRPC>;
  readonly eru: Client<typeof eru.Eru>;
  /** Where the next call goes. */
  readonly address: string;
  /** Resolves when one of several addresses has answered, or none will; before that, calls go to the first. */
  ready(): Promise<void>;
  /** Idempotent. Later calls are `canceled`. */
  close(): void;
}

/**
 * A client of core with fail-over. Never fails because a core is away: the calls do, with `unavailable`. Throws `invalid`
 * for addresses or credentials that cannot be used.
 */
export function connectCore(options: ConnectCoreOptions): Core {
  const { addresses, discover } = parseAddresses(options.addresses);
  const { clock = systemClock, credential, tls, onOld } = options;
  const pool = new Pool(clock, {
    ...(credential !== undefined && { credentials: metadataOf(credential) }),
    ...(tls !== undefined && { tls }),
    ...(onOld !== undefined && {
      onHeaders: (headers) => {
        const ageMs = Number(headers.get(ageHeader) ?? Number.NaN);
        if (Number.isFinite(ageMs)) onOld(ageMs);
      },
    }),
  });
  const stop = new AbortController();
  const close = (): void => {
    stop.abort();
    options.signal?.removeEventListener('abort', close);
    pool.close();
  };
  pool.replace(addresses);
  const connected: Core = {
    core: following(() => pool.current().core),
    eru: following(() => pool.current().eru),
    get address() {
      return pool.current().channel.address;
    },
    ready: () => pool.ready(),
    close,
  };
  if (options.signal?.aborted) close();
  options.signal?.addEventListener('abort', close, { once: true });
  if (discover && !stop.signal.aborted) void follow(pool, connected, addresses, stop.signal, clock);
  return connected;
}

/** The original's form: the user name is the key (core-rpc.md 1.2), in lower case as every metadata key. */
function metadataOf(credential: ClientCredential): Record<string, string> {
  if ('token' in credential) return { authorization: `Bearer ${credential.token}` };
  return { [credential.username.toLowerCase()]: credential.password };
}

/** Cores that only others can reach must not cut us off from the ones we were given: those stay as the last resort. */
async function follow(
  pool: Pool,
  { core }: Core,
  given: readonly string[],
  signal: AbortSignal,
  clock: Clock,
): Promise<void> {
  for await (const pushed of watchCores(core, { signal, clock })) pool.replace([...new Set([...pushed, ...given])]);
}

/** An object whose members are those of `pick()` at the moment they are asked for. */
function following<C extends object>(pick: () => C): C {
  return new Proxy({} as C, { get: (_, name) => Reflect.get(pick(), name) as unknown });
}

interface Peer {
  readonly channel: Channel;
  readonly core: Client<typeof pb.CoreRPC>;
  readonly eru: Client<typeof eru.Eru>;
  alive: boolean;
}

/** The addresses in order of preference, and which of them answered `Info` last time. */
class Pool {
  readonly #clock: Clock;
  readonly #options: ConnectOptions;
  #peers: readonly Peer[] = [];
  #firstAnswer: Promise<unknown> = Promise.resolve();
  #timer: { cancel(): void } | undefined;
  #round = 0;
  #closed = false;

  constructor(clock: Clock, options: ConnectOptions) {
    this.#clock = clock;
    this.#options = options;
  }

  current(): Peer {
    const peer = this.#peers.find(({ alive }) => alive) ?? this.#peers[0];
    if (peer === undefined) throw new EruError('canceled', 'the client of core is closed');
    return peer;
  }

  async ready(): Promise<void> {
    await this.#firstAnswer;
  }

  replace(addresses: readonly string[]): void {
    if (this.#closed) return;
    const before = new Map(this.#peers.map((peer) => [peer.channel.address, peer]));
    this.#peers = addresses.map((address) => before.get(address) ?? this.#open(address));
    for (const peer of before.values()) if (!this.#peers.includes(peer)) peer.channel.close();
    if (this.#peers.length !== before.size || this.#peers.some((peer) => !before.has(peer.channel.address))) {
      this.#probe();
    }
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    for (const { channel } of this.#peers) channel.close();
    this.#peers = [];
  }

  #open(address: string): Peer {
    const channel = connect(address, { ...this.#options, onUnavailable: () => this.#doubt(address) });
    return { channel, core: client(pb.CoreRPC, channel), eru: client(eru.Eru, channel), alive: false };
  }

  /** One that was alive and does not answer a call is no longer, and it is found out at once who is. */
  #doubt(address: string): void {
    const peer = this.#peers.find(({ channel }) => channel.address === address);
    if (peer?.alive !== true) return;
    peer.alive = false;
    this.#probe();
  }

  /** A single address has no rival to be compared with. */
  #probe(): void {
    this.#timer?.cancel();
    if (this.#closed || this.#peers.length < 2) return;
    const probes = this.#peers.map(async (peer) => {
      peer.alive = await answers(peer);
      if (!peer.alive) throw new EruError('unavailable', `${peer.channel.address} does not answer`);
    });
    this.#firstAnswer = Promise.any(probes).catch(() => {}); // the calls will say that nobody answers
    const round = ++this.#round;
    void Promise.allSettled(probes).then(() => {
      if (!this.#closed && round === this.#round) this.#timer = this.#clock.timer(probeEveryMs, () => this.#probe());
    });
  }
}

/** Alive is who answers, even with a refusal: a wrong password is wrong at the next address, too. */
async function answers({ core }: Peer): Promise<boolean> {
  try {
    await core.info({}, { timeoutMs: probeTimeoutMs });
    return true;
  } catch (error) {
    const { code } = EruError.from(error);
    return code !== 'unavailable' && code !== 'timeout' && code !== 'canceled';
  }
}
