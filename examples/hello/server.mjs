// A whole small web service: one page, a health check, a line of log for each request, and an orderly end.
import { createServer } from 'node:http';

const { APP_NAME: app = 'hello', ERU_WORKLOAD_SEQ: sequence = '0', ERU_PORT_HTTP: wanted = '0' } = process.env;
const host = '127.0.0.1';
let served = 0;

const server = createServer((request, response) => {
  const [pathname] = request.url.split('?');
  const healthy = pathname === '/healthz';
  const status = healthy || pathname === '/' ? 200 : 404;
  if (status === 200 && !healthy) served += 1;
  const uptime = Math.round(process.uptime());
  const page = `Hello from ${app}, instance ${sequence}, pid ${process.pid}: ${served} served in ${uptime} s\n`;
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(healthy ? 'ok\n' : status === 404 ? 'There is only / and /healthz here.\n' : page);
  say(`${request.method} ${request.url} ${status}`);
});

server.on('error', (error) => {
  say(`cannot listen: ${error.message}`);
  process.exitCode = 1;
});

server.listen(Number(wanted), host, () =>
  say(`${app} ${sequence} listens on http://${host}:${server.address().port}/`),
);

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, () => {
    say(`${signal}: finishing what is under way`);
    server.close(() => say('stopped'));
    server.closeIdleConnections();
  });
}

function say(text) {
  console.log(`${new Date().toISOString()} ${text}`);
}
