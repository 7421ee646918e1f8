import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { loadNetworkList, parseNetworkList, wrapPlugin } from './config.ts';

const bridge = { type: 'bridge', odd: { kept: 9 } };
const list = (more: object): string => JSON.stringify({ cniVersion: '1.0.0', name: 'net', plugins: [bridge], ...more });

describe('a configuration list', () => {
  it('keeps the keys of plugins that we do not know', async () => {
    const { plugins, text } = await parseNetworkList(list({}), 'x');
    expect(plugins).toEqual([bridge]);
    expect(JSON.parse(text)).toMatchObject({ plugins: [bridge] });
  });

  it.each([
    [{ cniVersion: '0.3.0' }, '0.3.0'],
    [{ cniVersion: '0.4.0', cniVersions: ['1.0.0', '0.3.1'] }, '1.0.0'],
    [{ cniVersion: '1.0.0', cniVersions: ['1.1.0', '9.0.0'] }, '1.1.0'],
    [{ cniVersion: '0.2.0', cniVersions: ['0.3.1'] }, '0.3.1'],
  ])('%j speaks %s', async (more, version) => {
    expect((await parseNetworkList(list(more), 'x')).cniVersion).toBe(version);
  });

  it.each([
    ['{', /x is not JSON/],
    ['[]', /x is not an object/],
    [list({ cniVersion: undefined }), /cniVersion: none is given; write one of 0\.3\.0/],
    [list({ cniVersion: '2.0.0' }), /2\.0\.0 is not supported/],
    [list({ cniVersion: 'one', cniVersions: [] }), /not three numbers/],
    [list({ name: undefined }), /name: give the network a name/],
    [list({ name: '../x' }), /letters, digits/],
    [list({ plugins: [] }), /plugins: give at least one/],
    [list({ plugins: {} }), /plugins: write a list/],
    [list({ plugins: ['bridge'] }), /plugins\[0\] is not an object/],
    [list({ plugins: [{}] }), /plugins\[0\]: type: write the plugin's file name/],
    [list({ plugins: [{ type: '../sh' }] }), /plugins\[0\]: type/],
    [list({ plugins: undefined, loadOnlyInlinedPlugins: true }), /plugins: give some/],
    [list({ disableGC: 'yes' }), /disableGC: write true or false/],
  ])('refuses %s', async (text, message) => {
    await expect(parseNetworkList(text, 'x')).rejects.toThrow(message);
  });

  it('reads flags as booleans or as the strings that people write', async () => {
    const parsed = await parseNetworkList(list({ disableCheck: 'true', disableGC: true }), 'x');
    expect(parsed).toMatchObject({ disableCheck: true, disableGC: true });
  });
});

describe('a folder of configurations', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'eru-cni-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));
  const write = (file: string, text: string): Promise<void> => writeFile(path.join(folder, file), text);

  it('prefers lists to single plugins, and takes the first by name', async () => {
    await write('00-single.conf', JSON.stringify({ cniVersion: '0.4.0', name: 'single', type: 'ptp' }));
    await write('20.conflist', list({ name: 'second' }));
    await write('10.conflist', list({ name: 'first' }));
    await write('05.json', 'broken');
    await mkdir(path.join(folder, '01.conflist'));
    expect(await loadNetworkList(folder)).toMatchObject({ name: 'first' });
    expect(await loadNetworkList(folder, 'second')).toMatchObject({ name: 'second' });
    expect(await loadNetworkList(folder, 'single')).toMatchObject({ name: 'single', plugins: [{ type: 'ptp' }] });
    await expect(loadNetworkList(folder, 'third')).rejects.toThrow(
      /no network third; there are: first, second, single/,
    );
  });

  it('finds nothing in a folder that is not there', async () => {
    await expect(loadNetworkList(path.join(folder, 'none'))).rejects.toMatchObject({ code: 'not_found' });
  });

  it("adds the plugins of the network's own folder unless the list forbids it", async () => {
    await mkdir(path.join(folder, 'net'));
    await write('net/20.conf', JSON.stringify({ type: 'tuning' }));
    await write('net/10.conf', JSON.stringify({ type: 'firewall' }));
    const types = async (): Promise<string[]> => (await loadNetworkList(folder)).plugins.map(({ type }) => type);
    await write('a.conflist', list({ plugins: undefined }));
    expect(await types()).toEqual(['firewall', 'tuning']);
    await write('a.conflist', list({}));
    expect(await types()).toEqual(['bridge', 'firewall', 'tuning']);
    await write('a.conflist', list({ loadOnlyInlinedPlugins: 'true' }));
    expect(await types()).toEqual(['bridge']);
  });

  it('wraps a single plugin with its name and version', () => {
    const wrapped = wrapPlugin(JSON.stringify({ cniVersion: '0.3.1', name: 'old', type: 'bridge' }), 'x');
    expect(wrapped).toMatchObject({ name: 'old', cniVersion: '0.3.1', plugins: [{ type: 'bridge' }] });
    expect(JSON.parse(wrapped.text)).toMatchObject({ name: 'old', cniVersion: '0.3.1' });
  });
});
