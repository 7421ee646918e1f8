import type { Cni } from '../cni/cni.ts';
import type { AttachmentKey } from '../cni/cache.ts';
import { addressesOf } from '../cni/result.ts';
import type { Namespaces } from './namespaces.ts';

/**
 * Undoes an attachment whose namespace is gone. Plugins that are told so leave their masquerade rules behind (measured:
 * network.md section 6.4), because they read from the interface which addresses they have to forget. So they get a namespace
 * with an interface that has the name and the addresses of the one that was lost.
 */
export async function delWithStandIn(
  cni: Cni,
  namespaces: Namespaces,
  key: AttachmentKey,
  signal?: AbortSignal,
): Promise<void> {
  const { ifname } = key;
  // No container id begins so.
  const id = `_${key.containerId}`;
  const known = await cni.cache.read(key);
  if (known === undefined) return;
  const { result } = known;
  await namespaces.make(id);
  await namespaces.furnish(
    id,
    ifname,
    result === undefined ? [] : addressesOf(result, ifname).map(({ address }) => address),
  );
  const del = (): Promise<void> => cni.del(key, { signal, netns: namespaces.path(id) });
  // Rules that an earlier DEL has taken back already make `bridge` fail (measured with 1.1.1). It has taken the interface by
  // then, so that the second time it looks for none.
  await del().catch(del);
  await namespaces.remove(id);
}
