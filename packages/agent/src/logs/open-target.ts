import { invalid, systemClock, systemRandom } from '@eru/kit';

import { JournalTarget } from './journal-target.ts';
import type { Target, TargetContext } from './target.ts';
import { allSent } from './target.ts';
import { TcpTarget } from './tcp-target.ts';
import { UdpTarget } from './udp-target.ts';

/** @throws EruError `invalid` for anything else than `tcp://`, `udp://` with host and port, `journal://`, `__discard__` */
export function openTarget(url: string, context: TargetContext): Target {
  if (url === '__discard__') return discard;
  if (url.startsWith('journal://')) return new JournalTarget(url, context);
  const [, scheme, host = '', port = ''] = /^(tcp|udp):\/\/(\[[^\]]+\]|[^:/]+):(\d{1,5})\/?$/.exec(url) ?? [];
  if (scheme === undefined || Number(port) > 65_535)
    throw invalid('log.forwards', url, 'write tcp://HOST:PORT, udp://HOST:PORT, journal:// or __discard__');
  const place = { host: host.replace(/^\[|\]$/g, ''), port: Number(port) };
  return scheme === 'tcp' ? new TcpTarget(url, place, context) : new UdpTarget(url, place, context);
}

/** @throws EruError `invalid` for the first that is no target */
export function checkForwards(urls: readonly string[]): void {
  for (const url of urls) openTarget(url, { clock: systemClock, random: systemRandom });
}

const discard: Target = {
  url: '__discard__',
  state: 'up',
  run: () => Promise.resolve(),
  send: () => Promise.resolve(allSent),
  reset: () => {},
};
