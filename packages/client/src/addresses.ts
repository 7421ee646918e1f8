import { invalid } from '@eru/kit';

/** Where cores are: a list in order of preference; with `discover` the cores themselves say who else there is. */
export interface CoreAddresses {
  addresses: string[];
  discover: boolean;
}

/**
 * `host:port`, `unix:///path`, several with commas, `static:///a:1,b:2` (a fixed list), `eru:///host:port` (ask that core
 * for the others). The forms of the original (agent.md section 5).
 */
export function parseAddresses(given: string | readonly string[]): CoreAddresses {
  const addresses: string[] = [];
  let discover = false;
  for (const text of typeof given === 'string' ? [given] : given) {
    const [, scheme, list = ''] = /^(?:(static|eru):\/\/\/?)?(.*)$/.exec(text.trim()) ?? [];
    if (scheme === 'eru') discover = true;
    addresses.push(...list.split(',').map((address) => address.trim()));
  }
  const known = [...new Set(addresses.filter((address) => address !== ''))];
  if (known.length === 0) throw invalid('core address', given, 'name at least one HOST:PORT');
  return { addresses: known, discover };
}
