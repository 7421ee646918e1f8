import { EruError } from '@eru/kit';
import { parseEndpoint } from '@eru/contract';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** `/metrics` and nothing else, for scrapers that have no credential (`profile` of the original's configuration). */
export async function serveMetrics(
  listen: string,
  metrics: () => Promise<{ text: string; type: string }>,
): Promise<{ address: string; close(): Promise<void> }> {
  const endpoint = parseEndpoint(listen);
  if ('path' in endpoint) throw new EruError('invalid', `profile: ${listen} is not allowed; write HOST:PORT`);
  const server = createServer((request, response) => {
    if (request.url?.split('?')[0] !== '/metrics') return void response.writeHead(404).end('only /metrics is here\n');
    metrics().then(
      ({ text, type }) => response.writeHead(200, { 'content-type': type }).end(text),
      (error: unknown) => response.writeHead(500).end(`${EruError.from(error).message}\n`),
    );
  });
  const { host, port } = endpoint;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new EruError('invalid', `profile: ${listen} cannot be listened on: ${cause.message}`, { cause })),
    );
    server.listen(host === '' ? { port } : { host, port }, resolve);
  });
  server.unref();
  return {
    address: `${host}:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
