import type { Container } from './wire-types.ts';

/** Podman's own word for its default network, which docker calls `bridge`. Only where a network is asked for it knows both. */
const ownDefault = 'podman';

/** The name by which Podman knows a network of docker's name, also within a container. */
export function podmansNetwork(name: string): string {
  return name === 'bridge' ? ownDefault : name;
}

/** What Podman says of a container, with docker's names for its networks and its image. */
export function inDockersWords(container: Container): Container {
  const { Config, NetworkSettings } = container;
  const networks = Object.entries(NetworkSettings.Networks ?? {}).map(
    ([name, endpoint]) => [name === ownDefault ? 'bridge' : name, endpoint] as const,
  );
  return {
    ...container,
    Config: { ...Config, Image: shortName(Config.Image) },
    NetworkSettings: { Networks: Object.fromEntries(networks) },
  };
}

/** An image's name as docker shortens it: `docker.io/library/app:1` is `app:1`. */
export function shortName(reference: string): string {
  return reference.replace(/^docker\.io\/(library\/)?/, '');
}
