/** What is intercepted. `name` is a container or network, as the client calls it. */
export type Route =
  | { readonly kind: 'create' | 'prune' | 'list' | 'networks' | 'create-network' | 'prune-networks' }
  | {
      readonly kind: 'remove' | 'inspect' | 'network' | 'remove-network' | 'connect' | 'disconnect';
      readonly name: string;
    };

const routes: readonly (readonly [method: string, path: RegExp, kind: Route['kind']])[] = [
  ['POST', /^\/containers\/create$/, 'create'],
  ['POST', /^\/containers\/prune$/, 'prune'],
  ['GET', /^\/containers\/json$/, 'list'],
  ['GET', /^\/containers\/(.+)\/json$/, 'inspect'],
  ['DELETE', /^\/containers\/(.+)$/, 'remove'],
  ['GET', /^\/networks\/?$/, 'networks'],
  ['GET', /^\/networks\/(.+)$/, 'network'],
  ['POST', /^\/networks\/create$/, 'create-network'],
  ['POST', /^\/networks\/prune$/, 'prune-networks'],
  ['DELETE', /^\/networks\/(.+)$/, 'remove-network'],
  ['POST', /^\/networks\/(.+)\/connect$/, 'connect'],
  ['POST', /^\/networks\/(.+)\/disconnect$/, 'disconnect'],
];

/**
 * Which interception a request is for: by its whole decoded path, with and without a version, as dockerd's own router reads it. Paths
 * that this router answers with a redirect to their clean form (`//`, `/../`) match nothing.
 */
export function matchRoute(method: string, target: string): Route | undefined {
  const path = pathOf(target);
  if (path === undefined || path !== clean(path)) return undefined;
  const bare = path.replace(/^\/v[0-9.]+(?=\/)/, '');
  for (const [wanted, pattern, kind] of routes) {
    if (wanted !== method) continue;
    const match = pattern.exec(bare);
    if (match !== null) return { kind, ...(match[1] !== undefined && { name: match[1] }) } as Route;
  }
  return undefined;
}

/** The query of a target. */
export function queryOf(target: string): URLSearchParams {
  const at = target.indexOf('?');
  return new URLSearchParams(at === -1 ? '' : target.slice(at + 1));
}

/** The same target with another query. */
export function withQuery(target: string, query: URLSearchParams): string {
  const path = target.split('?', 1)[0] as string;
  const text = query.toString();
  return text === '' ? path : `${path}?${text}`;
}

/** Decoded, one byte a character; undefined when it is none, or dockerd would refuse it. */
function pathOf(target: string): string | undefined {
  // Of a whole URL its path, as a proxy is asked.
  const [, rest = ''] = /^(?:[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?]*)?(.*)$/.exec(target) ?? [];
  const raw = rest.split('?', 1)[0] as string;
  if (!raw.startsWith('/') || /%(?![0-9A-Fa-f]{2})/.test(raw)) return undefined;
  return raw.replace(/%([0-9A-Fa-f]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** Go's `path.Clean`, which keeps the last slash in dockerd's router. */
function clean(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  const slash = path.endsWith('/') && parts.length > 0 ? '/' : '';
  return `/${parts.join('/')}${slash}`;
}
