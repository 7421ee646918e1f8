import { once } from 'node:events';
import http from 'node:http';
import { text } from 'node:stream/consumers';

/** What a test's dockerd has of a container. */
interface Kept {
  Id: string;
  Name: string;
  body: { HostConfig: object; Labels?: Record<string, string> };
}

/** As much of a dockerd as the interceptions ask, with every request that it got. */
export class FakeDockerd {
  readonly containers = new Map<string, Kept>();
  readonly heard: string[] = [];
  /** What becomes of the next creations. `lost`: made, and the connection ends before the answer. */
  creation: 'made' | 'refused' | 'lost' = 'made';
  readonly #server: http.Server;
  #number = 0;

  static async open(socket: string): Promise<FakeDockerd> {
    const dockerd = new FakeDockerd();
    dockerd.#server.listen(socket);
    await once(dockerd.#server, 'listening');
    return dockerd;
  }

  private constructor() {
    this.#server = http.createServer((request, response) => void this.#answer(request, response));
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const body = await text(request);
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://docker');
    const path = decodeURIComponent(pathname).replace(/^\/v[0-9.]+/, '');
    this.heard.push(`${request.method} ${request.url}`);
    const say = (status: number, value?: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json', 'api-version': '1.41' });
      response.end(value === undefined ? undefined : JSON.stringify(value));
    };
    const name = /^\/containers\/([^/]+)/.exec(path)?.[1] ?? '';
    const found = [...this.containers.values()].find(({ Id, Name }) => Id === name || Name === name);
    if (path === '/containers/create') {
      if (this.creation === 'refused') return say(409, { message: 'the name is in use' });
      const Id = (++this.#number).toString(16).padStart(64, '0');
      this.containers.set(Id, { Id, Name: searchParams.get('name') ?? Id, body: JSON.parse(body) as Kept['body'] });
      if (this.creation === 'lost') return void response.destroy();
      return say(201, { Id, Warnings: [] });
    }
    if (path === '/containers/json') return say(200, [...this.containers.values()].map(listed));
    if (path === '/containers/prune') {
      const ContainersDeleted = [...this.containers.keys()];
      this.containers.clear();
      return say(200, { ContainersDeleted, SpaceReclaimed: 0 });
    }
    if (path === '/networks/prune') return say(200, { NetworksDeleted: ['of-docker'] });
    if (path === '/networks') return say(200, [{ Name: 'bridge', Id: 'b', Driver: 'bridge' }]);
    if (path === '/_ping') return say(200, 'OK');
    if (found === undefined) return say(404, { message: `no such thing: ${path}` });
    if (request.method === 'DELETE') {
      this.containers.delete(found.Id);
      return say(204);
    }
    return say(200, {
      Id: found.Id,
      Name: `/${found.Name}`,
      ...found.body,
      NetworkSettings: { Ports: {}, Networks: {} },
    });
  }
}

function listed({ Id, Name, body }: Kept): object {
  const { Labels = {} } = body;
  return { Id, Names: [`/${Name}`], Labels, HostConfig: { NetworkMode: 'none' }, NetworkSettings: { Networks: {} } };
}
