import { runOk } from '@eru/kit';
import { mkdir, writeFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { finished } from 'node:stream/promises';
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';

/** The image that every private docker has; a shell and the usual tools, from Debian's static busybox. */
export const busyboxImage = 'eru-busybox:1';

const script = `
cd "$1"
mkdir -p bin dev etc proc root sys tmp usr/bin var/run
chmod 1777 tmp
cp "$(command -v busybox)" bin/busybox
for applet in $(bin/busybox --list); do [ "$applet" = busybox ] || ln -s busybox "bin/$applet"; done
`;

/** Lays a root of busybox out at `folder`. */
export async function busyboxTree(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await runOk('sh', ['-c', script, 'sh', folder]);
  await writeFile(path.join(folder, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/tmp:/bin/sh\n');
  await writeFile(path.join(folder, 'etc/group'), 'root:x:0:\nguest:x:1000:\n');
}

/** Makes an image of a folder, through the Docker API at `socketPath`. */
export async function importImage(socketPath: string, folder: string, reference: string): Promise<void> {
  const request = http.request({
    socketPath,
    method: 'POST',
    path: `/images/create?${new URLSearchParams({ fromSrc: '-', repo: reference, changes: 'CMD ["/bin/sh"]' }).toString()}`,
    headers: { 'content-type': 'application/x-tar' },
  });
  const answered = new Promise<http.IncomingMessage>((resolve, reject) => {
    request.once('response', resolve).once('error', reject);
  });
  const tar = spawn('tar', ['-C', folder, '-c', '.'], { stdio: ['ignore', 'pipe', 'inherit'] });
  tar.stdout.pipe(request);
  const response = await answered;
  const said = await text(response);
  await finished(request).catch(() => {}); // the answer says it better
  if (response.statusCode !== 200 || said.includes('errorDetail'))
    throw new Error(`cannot import ${reference}: ${response.statusCode} ${said}`);
}
