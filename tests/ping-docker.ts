import { once } from 'node:events';
import http from 'node:http';

/** Asks a daemon that speaks Docker's API whether it is there. @throws when it does not answer well within 5 s */
export async function pingDocker(socketPath: string): Promise<void> {
  const request = http.get({ socketPath, path: '/_ping', timeout: 5000 });
  request.once('timeout', () => request.destroy(new Error('no answer')));
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  response.resume();
  if (response.statusCode !== 200) throw new Error(`ping answers ${response.statusCode}`);
}
