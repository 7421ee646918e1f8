import { invalid } from '@eru/kit';
import net from 'node:net';

/**
 * Addresses of one workload on one network, at most one of each family, as text: `10.8.0.10,fd00::10`. Empty = none known, or of
 * wanted ones any. So the maps of both wires, which have room for one text, have room for both.
 */
export function addressList(text: string): string[] {
  return text === '' ? [] : text.split(',');
}

/** IPv4 first. */
export function addressText(addresses: readonly string[]): string {
  const known = addresses.filter((address) => address !== '');
  return [...known.filter((one) => !one.includes(':')), ...known.filter((one) => one.includes(':'))].join(',');
}

/** For those who know of one only: the IPv4 address if there is one. */
export function firstAddress(text: string): string {
  return addressList(text)[0] ?? '';
}

/** What a request wants on a network; empty = any. @throws EruError `invalid` */
export function wantedAddresses(network: string, text: string): { ipv4: string; ipv6: string } {
  const list = addressList(text);
  const ipv4 = list.filter((one) => net.isIPv4(one));
  const ipv6 = list.filter((one) => net.isIPv6(one) && !one.includes('%'));
  if (ipv4.length + ipv6.length < list.length || ipv4.length > 1 || ipv6.length > 1)
    throw invalid(
      'networks',
      `${network}=${text}`,
      'write an IP address after the =, or one of each family with a comma between them, or nothing for any',
    );
  return { ipv4: ipv4[0] ?? '', ipv6: ipv6[0] ?? '' };
}

/** As it stands before a port. */
export function hostOf(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
