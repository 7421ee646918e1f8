import { EruError, type ErrorCode } from '@eru/kit';

/**
 * A refusal of the daemon as one of ours. The status decides where it is distinct; a daemon says many things with 500 and 409
 * whose text alone tells them apart.
 */
export function refusalOf(status: number, message: string): EruError {
  if (withoutContainerd.test(message))
    return new EruError('unavailable', `docker has no containerd at the moment, try again in some seconds: ${message}`);
  if (/^network \S+ not found$/.test(message))
    return new EruError(
      'not_found',
      `${message}; make it on this node (docker network create), or name bridge, host or none`,
    );
  const told = words.find(([pattern]) => pattern.test(message))?.[1];
  return new EruError(told ?? statuses[status] ?? (status < 500 ? 'invalid' : 'failed'), message);
}

/** How each error ends that containerd's client gives while it reaches no containerd; docker or the system starts that again. */
const withoutContainerd = /: unavailable$/;

const statuses: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid',
  401: 'unauthenticated',
  403: 'forbidden',
  404: 'not_found',
  409: 'precondition',
  501: 'unsupported',
  503: 'unavailable',
};

const words: readonly (readonly [RegExp, ErrorCode])[] = [
  [/port is already allocated|address already in use/i, 'busy'],
  [/already exists in network|already connected to network/i, 'exists'],
  [/is not connected to( the)? network/i, 'not_found'],
  [/dead or marked for removal/i, 'not_found'],
  [/cannot start a paused container/i, 'precondition'],
  [/logging driver does not support reading|does not support reading/i, 'unsupported'],
  [
    /manifest unknown|manifest for .* not found|repository does not exist|name unknown|image does not exist locally/i,
    'not_found',
  ],
  [/unauthorized|no basic auth credentials|authentication required/i, 'unauthenticated'],
  [/denied: /i, 'forbidden'],
  [/no space left on device/i, 'failed'],
  [/--storage-opt is |has not enabled quotas/i, 'unsupported'],
  [/invalid tar header|unexpected EOF|outside of|archive\/tar|breakout/i, 'invalid'],
  [/executable file not found|no such file or directory: unknown|exec format error/i, 'invalid'],
  [/conflict: unable to (remove|delete)|image is (being used|in use)/i, 'precondition'],
  [/is not running|is not paused|is already paused/i, 'precondition'],
  // Podman's
  [/requested IP address .* is not available/i, 'busy'],
  [/container state improper/i, 'precondition'],
  [/no such container/i, 'not_found'],
  [/network is already connected/i, 'exists'],
  [/is not logging output/i, 'unsupported'],
  [/invalid argument$/i, 'invalid'],
];
