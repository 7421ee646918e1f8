import type { Cni } from '../cni/cni.ts';
import type { AttachmentKey } from '../cni/cache.ts';
import { addressesOf } from '../cni/result.ts';
import type { Namespaces } from './namespaces.ts';

/**
 * Undoes an attachment whose namespace is gone. Plugins that are told so leave their masquerade rules behind (measured:
 * network.md section 6.4), because they read from the interface which addresses they have to forget. So they get a namespace
 * with an interface that has the name and the addresses of the one that was lost. Its name is `key.containerId`'s.
 */
export async function delWithStandIn(
  cni: Cni,
  namespaces: Namespaces,
  key: AttachmentKey,
  signal?: AbortSignal,
): Promise<void> {
  const { containerId: id, ifname } = key;
  const result = (await cni.cache.read(key))?.result;
  await namespaces.make(id);
  await namespaces.furnish(
    id,
    ifname,
    result === undefined ? [] : addressesOf(result, ifname).map(({ address }) => address),
  );
  await cni.del(key, { signal, netns: namespaces.path(id) });
  await namespaces.remove(id);
}
