import { canonical, isFixed, readWish, requestLabel, wishWords, type IntentStatus } from '@eru/network';
import { invalid, type JsonObject } from '@eru/kit';

/** What a container's labels ask of the network, on which the request names it. */
export interface LabelWishes {
  /** Undefined: no word about it. */
  readonly fixed: boolean | undefined;
  readonly ips: readonly string[];
  readonly mac: string | undefined;
  readonly owner: string | undefined;
  readonly keepNetns: boolean;
  readonly aliases: readonly string[];
  /** Published beside those of the request. */
  readonly ports: NonNullable<Wish['ports']>;
  readonly bandwidth: Wish['bandwidth'];
}

type Wish = Omit<IntentStatus['networks'][number], 'ifname'>;

/** @throws EruError `invalid` that names the label */
export function labelWishes(labels: JsonObject, network: string): LabelWishes {
  const { [wishWords.fixed]: fixed } = labels;
  // Who creates a container again from what `inspect` shows says the old one's request too.
  const unread: readonly string[] = [wishWords.name, requestLabel];
  const texts = Object.fromEntries(
    Object.keys(labels)
      .filter((name) => name.startsWith('eru.network/') && !unread.includes(name))
      .map((name) => [name, textOf(labels, name)]),
  );
  const { [wishWords.ip]: ip, [wishWords.owner]: owner } = texts;
  const { keepNetns, aliases, networks } = readWish(texts as Record<string, string>, { networks: [network] });
  return {
    fixed: fixed === undefined ? undefined : isFixed(fixed),
    ips: (ip ?? '')
      .split(',')
      .filter((one) => one.trim() !== '')
      .map((one) => canonical(`label ${wishWords.ip}`, one.trim())),
    mac: networks[0]?.mac,
    owner: ownerLabel(owner),
    keepNetns,
    aliases,
    ports: networks[0]?.ports ?? [],
    bandwidth: networks[0]?.bandwidth,
  };
}

function ownerLabel(owner: string | undefined): string | undefined {
  if (owner === undefined || /^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$/.test(owner)) return owner;
  throw invalid('label eru.network/owner', owner, 'write letters, digits, _, . and -, at most 80');
}

function textOf(labels: JsonObject, name: string): string | undefined {
  const value = labels[name];
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string') throw invalid(`label ${name}`, JSON.stringify(value), 'a label is a text');
  return value;
}
