import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { text as streamText } from 'node:stream/consumers';

import { runOk } from '@eru/kit';
import { connectNetd } from '@eru/network';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { busyboxImage } from './busybox-image.ts';
import { Dockerd } from './dockerd.ts';
import { command } from './eru.ts';
import { describeAsRoot } from './parts.ts';
import { shellBlocks } from './shell-blocks.ts';

const root = path.join(import.meta.dirname, '..');

/** Makes of a private machine one whose files are where every machine has them. `$1`: its folder. */
const asUsual = `
mount --bind /usr/local/bin "$1/local-bin"
mount -t tmpfs tmpfs /usr/local/bin
for file in "$1"/local-bin/* "$1"/commands/*; do ln -sf "$file" /usr/local/bin/; done
mount --bind "$1" /etc/docker
ln -s "$1/docker.sock" /run/docker.sock
`;

/** Each is one block of the page. */
describeAsRoot(
  ['docker', 'busybox', 'cni', 'ip', 'iptables', 'compose'],
  'docs/docker-network.md, followed by hand',
  () => {
    let dockerd: Dockerd;
    let blocks: string[];
    /** What earlier blocks have exported. */
    let exported = '';

    beforeAll(async () => {
      blocks = await shellBlocks('docker-network.md');
      dockerd = await Dockerd.start();
      const { folder } = dockerd.machine;
      await Promise.all(['local-bin', 'commands', 'image'].map((name) => mkdir(path.join(folder, name))));
      const put = (name: string, text: string): Promise<void> =>
        writeFile(path.join(folder, 'commands', name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
      await put('eru', `exec ${process.execPath} ${command} "$@"`);
      // As systemd does it; and then it waits, for this is no test of how fast dockerd reads a file.
      await put(
        'systemctl',
        `[ "$*" = 'reload docker' ] && kill -HUP "$(cat ${folder}/docker.pid)" && until docker info | grep -q 'Runtimes:.* eru '; do :; done`,
      );
      await dockerd.machine.runOk('sh', ['-ec', asUsual, 'sh', folder]);
      const file = `FROM ${busyboxImage}\nEXPOSE 80\nCMD ["sleep", "infinity"]\nSTOPSIGNAL SIGKILL\n`;
      await writeFile(path.join(folder, 'image/Dockerfile'), file);
      const docker = (...words: string[]): Promise<unknown> =>
        runOk('docker', ['-H', `unix://${dockerd.socket}`, ...words]);
      for (const image of ['nginx', 'postgres']) await docker('build', '-q', '-t', image, path.join(folder, 'image'));
      await docker('tag', busyboxImage, 'busybox');
    });
    afterAll(() => dockerd?.remove());

    /** Runs commands as a shell of the machine does, and answers what they print. */
    const type = async (commands: string): Promise<string> => {
      const text = `cd ${root}\n${exported}${commands}`;
      exported += (commands.match(/^export .*\n/gm) ?? []).join('');
      // What it leaves in the background belongs to the machine, and ends with it.
      const shell = dockerd.machine.spawn('sh', ['-ec', text], ['ignore', 'pipe', 'pipe']);
      const [said, complained, [code]] = await Promise.all([
        streamText(shell.stdout as Readable),
        streamText(shell.stderr as Readable),
        once(shell, 'exit') as Promise<[number | null]>,
      ]);
      if (code !== 0) throw new Error(`ended with ${code}: ${commands}\n${said}${complained}`);
      return said;
    };
    /** The next block, which must have this in it. */
    const follow = async (part: string): Promise<string> => {
      const block = blocks.shift() ?? 'the page has no more blocks';
      expect(block).toContain(part);
      return type(block);
    };
    const inside = (name: string): Promise<string> =>
      type(
        `docker exec ${name} sh -c 'ip -o -4 address show eth0 | grep -o "10[.0-9]*/24"; cat /sys/class/net/eth0/address'`,
      );
    const resting = async (): Promise<number> => {
      const pools = await connectNetd(`/proc/${dockerd.pid}/root/run/eru/netd.sock`).pools();
      return pools.reduce((sum, { quarantined }) => sum + quarantined, 0);
    };

    it('the first minute', async () => {
      await follow('eru net install-docker');
      expect(await follow('docker run -d --name shop')).toMatch(/ 10\.8\.0\.2 .* 8080->80\/tcp .*bound, fixed/);
      const first = await inside('shop');
      expect(first).toMatch(/^10\.8\.0\.2\/24\n02:/);
      const [, mac = ''] = first.split('\n');
      // What the page says that Docker shows.
      expect(await type(`docker ps --filter name=shop --format '{{.Names}}:{{.Ports}}'; docker port shop`)).toBe(
        'shop:\n',
      );
      const wanted = '{{json .NetworkSettings.Networks.none.IPAddress}} {{json .HostConfig.PortBindings}}';
      expect(await type(`docker inspect shop -f '${wanted}'`)).toBe(
        '"" {"80/tcp":[{"HostIp":"","HostPort":"8080"}]}\n',
      );
      expect(await type(`docker network ls --format '{{.Name}}'`)).toBe('bridge\nhost\nnone\n');
      expect(await follow('docker start shop')).toMatch(
        new RegExp(` 10\\.8\\.0\\.2 +${mac} +8080->80/tcp +bound, fixed`),
      );
      expect(await inside('shop')).toBe(first);
      expect(await inside('other')).toMatch(/^10\.8\.0\.3\//);
      expect(await follow('docker rm -f shop other')).toMatch(/ 0 bound, 0 reserved, 2 resting of 253/);
      expect(await resting()).toBe(2);
    });

    it('Docker tells it itself', async () => {
      const shown = await follow('eru barrel');
      expect(shown).toMatch(/ 80\/tcp .*db\n.* 0\.0\.0\.0:8080->80\/tcp .*shop/);
      const first = await inside('shop');
      expect(await inside('db')).toMatch(/^10\.9\.0\.50\//);
      const over = await follow('docker stop shop');
      expect(over).toContain('"IPv4Address": "10.9.0.2"');
      expect(over).toMatch(/\n80\/tcp -> 0\.0\.0\.0:8080\n$/);
      expect(await inside('shop')).toBe(first);
      expect(await type(`docker network ls --format '{{.Name}}'`)).toBe('back\nbridge\nhost\nnone\nweb\n');
      await follow('docker network rm back');
    });

    it('compose goes up, down and up', async () => {
      await follow('docker-compose -f examples/compose/compose.yaml up');
      for (const [name, ip] of Object.entries({ front: '10.10.0.20', middle: '10.10.0.21', rear: '10.10.0.22' }))
        expect(await type(`eru net ip compose_${name}_1`)).toContain(` ${ip} `);
      await follow('down');
      expect(await type('eru net ip -o json; eru net diag -o json')).toBe('[]\n[]\n');
      expect(blocks).toEqual([]);
    });
  },
);
