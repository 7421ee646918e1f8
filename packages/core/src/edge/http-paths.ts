import type { IncomingMessage, ServerResponse } from 'node:http';

export interface HttpPaths {
  metrics: () => Promise<{ text: string; type: string }>;
  /** Why this core cannot work now; undefined when it can. */
  notReady: () => string | undefined;
  /** Wanted for the metrics; what is open says only that we are there. */
  admits: (request: IncomingMessage) => boolean;
  /** The description of the JSON face. */
  openApi: () => object;
}

/**
 * `/healthz`: this process answers. `/readyz`: it can also work. `/metrics`. `/openapi.json`: how to call us. True when the
 * request was one of these.
 */
export function httpPaths({
  metrics,
  notReady,
  admits,
  openApi,
}: HttpPaths): (request: IncomingMessage, response: ServerResponse) => boolean {
  return (request, response) => {
    const [path = ''] = (request.url ?? '').split('?');
    switch (path) {
      case '/healthz':
        answer(response, 200, 'ok\n');
        return true;
      case '/readyz': {
        const reason = notReady();
        answer(response, reason === undefined ? 200 : 503, `${reason ?? 'ok'}\n`);
        return true;
      }
      case '/metrics':
        if (!admits(request)) {
          response.setHeader('www-authenticate', 'Basic realm="eru"');
          answer(response, 401, 'this needs the credential of the cluster\n');
          return true;
        }
        metrics().then(
          ({ text, type }) => answer(response, 200, text, type),
          (error: unknown) => answer(response, 500, `${String(error)}\n`),
        );
        return true;
      case '/openapi.json':
        answer(response, 200, JSON.stringify(openApi()), 'application/json');
        return true;
      default:
        return false;
    }
  };
}

function answer(response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type });
  response.end(text);
}
