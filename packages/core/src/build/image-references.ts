import { EruError } from '@eru/kit';

/** Where built images go. */
export interface ImageHome {
  /** Registry host, with its port; empty = images stay on the node that built them. */
  hub: string;
  namespace: string;
}

/** `<hub>/<namespace>/<name>:<tag>` for each tag, `latest` when there is none (reference/core-rpc.md, `BuildImageOptions`). */
export function imageReferences({ hub, namespace }: ImageHome, name: string, tags: readonly string[]): string[] {
  if (!/^[a-z0-9]+([._/-]+[a-z0-9]+)*$/.test(name))
    throw new EruError(
      'invalid',
      `name: ${JSON.stringify(name)}: an image's name has small letters, digits and separators between them`,
    );
  const repository = [hub, namespace.replaceAll(/^\/+|\/+$/g, ''), name].filter((part) => part !== '').join('/');
  return (tags.length === 0 ? ['latest'] : tags).map((tag) => {
    if (!/^\w[\w.-]{0,127}$/.test(tag))
      throw new EruError('invalid', `tags: ${JSON.stringify(tag)}: a tag has letters, digits, "_", "." and "-"`);
    return `${repository}:${tag}`;
  });
}
