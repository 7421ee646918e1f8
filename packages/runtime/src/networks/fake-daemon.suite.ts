import { EruError } from '@eru/kit';
import type { NetworkService } from '@eru/network';

interface Held {
  owner: string;
  ifname: string;
  network: string;
  /** Or several, with commas. */
  ip: string;
  policy: string;
  bound: boolean;
}

type Wished = { network: string; ifname: string; ips?: string[] };
type Asked = { owner: string; network: Wished; policy: string };

/** A network daemon with one pool, as far as workloads ask it; it dies before or after an effect when told so. */
export class FakeDaemon {
  readonly folder = '/var/lib/eru/network';
  held: Held[] = [];
  readonly sandboxes = new Map<
    string,
    { owner: string; interfaces: { ifname: string; network: string; ip: string }[] }
  >();
  readonly intents = new Map<string, { owner: string; releasesOwner?: boolean; networks: Wished[] }>();
  /** Effects until one fails. */
  left = Number.POSITIVE_INFINITY;
  after = false;

  get service(): NetworkService {
    const effect =
      <Request, T>(work: (request: Request) => T) =>
      async (request: Request): Promise<T> => {
        const dies = this.left-- === 0;
        if (dies && !this.after) throw new EruError('unavailable', 'it died before');
        const answer = work(request);
        if (dies) throw new EruError('unavailable', 'it died after');
        return answer;
      };
    return {
      about: async () => ({ folder: this.folder }),
      networks: async () => ['web', 'db'].map((name) => ({ definition: { name, pools: [name] }, cidrs: [] })),
      reservations: async ({ owner }: { owner: string }) =>
        this.held.filter((one) => one.owner === owner).map((one) => ({ ...one, addresses: addressesOf(one) })),
      describe: async ({ id }: { id: string }) => this.#shown(id),
      reserve: effect(({ owner, network: { network, ifname, ips = [] }, policy }: Asked) => {
        const one = this.#reserve({ owner, ifname, network, policy }, ips.join(','));
        return { addresses: addressesOf(one) };
      }),
      release: effect(({ owner, ifname }: { owner: string; ifname: string }) => {
        this.held = this.held.filter((one) => one.owner !== owner || one.ifname !== ifname);
        return [];
      }),
      transfer: effect(
        ({ from, to, ifname, lost = false }: { from: string; to: string; ifname: string; lost?: boolean }) => {
          const one = this.#find(from, ifname);
          if (one === undefined || (one.bound && !lost))
            throw new EruError('precondition', `${from} cannot give ${ifname}`);
          if (this.#find(to, ifname) !== undefined) throw new EruError('exists', `${to} has ${ifname}`);
          Object.assign(one, { owner: to, bound: false });
          return [];
        },
      ),
      attach: effect(({ id, owner, networks }: { id: string; owner: string; networks: Wished[] }) => {
        this.sandboxes.set(id, { owner, interfaces: [] });
        for (const wish of networks) this.#plug(id, wish, 'ephemeral');
        return this.#shown(id);
      }),
      connect: effect(({ id, network }: { id: string; network: Wished }) => this.#plug(id, network, 'fixed')),
      disconnect: effect(({ id, name }: { id: string; name: string }) =>
        this.#unplug(id, (one) => one.ifname === name),
      ),
      intents: async ({ container }: { container: string }) => {
        const one = this.intents.get(container);
        return one === undefined ? [] : [one];
      },
      declare: effect(({ container, ...rest }: { container: string; owner: string; networks: Wished[] }) => {
        this.intents.set(container, rest);
      }),
      amend: effect(({ container, add, remove }: { container: string; add?: Wished; remove?: string }) => {
        const intent = this.intents.get(container)!;
        if (add !== undefined) intent.networks = [...intent.networks, add];
        intent.networks = intent.networks.filter(({ ifname }) => ifname !== remove);
        this.held = this.held.filter((one) => one.owner !== intent.owner || one.ifname !== remove);
        const held = this.held.filter((one) => one.owner === intent.owner);
        return { reservations: held.map((one) => ({ ...one, addresses: addressesOf(one) })) };
      }),
      forget: effect(({ container }: { container: string }) => {
        const { owner } = this.intents.get(container) ?? {};
        this.held = this.held.filter((one) => one.owner !== owner);
        this.intents.delete(container);
        return [];
      }),
      detach: effect(({ id }: { id: string }) => {
        this.#unplug(id, () => true);
        this.sandboxes.delete(id);
      }),
    } as unknown as NetworkService;
  }

  #reserve(of: Pick<Held, 'owner' | 'ifname' | 'network' | 'policy'>, wanted = ''): Held {
    const known = this.#find(of.owner, of.ifname);
    if (known !== undefined) return known;
    let ip = wanted;
    for (let host = 2; ip === ''; host++)
      if (!this.held.some((one) => one.ip === `10.0.0.${host}`)) ip = `10.0.0.${host}`;
    if (this.held.some((one) => one.ip === ip)) throw new EruError('exists', `${ip} is somebody's`);
    const one = { ...of, ip, bound: false };
    this.held.push(one);
    return one;
  }

  #plug(id: string, { network, ifname }: { network: string; ifname: string }, policy: string): void {
    const sandbox = this.sandboxes.get(id)!;
    const one = this.#reserve({ owner: sandbox.owner, ifname, network, policy });
    one.bound = true;
    sandbox.interfaces.push({ ifname, network, ip: one.ip });
  }

  #unplug(id: string, which: (one: { ifname: string }) => boolean): void {
    const sandbox = this.sandboxes.get(id);
    for (const { ifname } of sandbox?.interfaces.filter(which) ?? []) {
      const one = this.#find(sandbox!.owner, ifname);
      if (one?.policy === 'fixed') one.bound = false;
      else this.held = this.held.filter((other) => other !== one);
    }
    if (sandbox !== undefined) sandbox.interfaces = sandbox.interfaces.filter((one) => !which(one));
  }

  #shown(id: string): object {
    const sandbox = this.sandboxes.get(id);
    if (sandbox === undefined) throw new EruError('not_found', `${id} is not attached`);
    const interfaces = sandbox.interfaces.map((one) => ({
      ...one,
      addresses: addressesOf(one).map(({ ip }) => ({ address: `${ip}/24` })),
    }));
    return { netns: `/run/${id}`, interfaces };
  }

  #find(owner: string, ifname: string): Held | undefined {
    return this.held.find((one) => one.owner === owner && one.ifname === ifname);
  }
}

function addressesOf({ ip }: { ip: string }): { ip: string }[] {
  return ip.split(',').map((one) => ({ ip: one }));
}
