import type { JsonObject } from '@eru/kit';

import { parseExact, textAt } from './exact-json.ts';
import { passOn, type Answer, type Reply } from './http/answer.ts';
import type { Exchange } from './http/connection.ts';
import { splitFilters } from './list-filters.ts';
import { intentsOf, lookUp, netdMs, type Parts } from './parts.ts';
import { showInspected, showListed } from './show-container.ts';

/** `GET /containers/NAME/json` */
export async function inspectContainer(parts: Parts, { forward }: Exchange): Promise<Reply> {
  const answer = await forward();
  const document = objectOf(answer);
  const id = document?.value['Id'];
  if (document === undefined || typeof id !== 'string') return passOn(answer);
  const [intent] = await intentsOf(parts, id);
  if (intent === undefined) return passOn(answer);
  return passOn(answer, document.write(showInspected(document.value, intent, await parts.networks.listOrLast())));
}

/** `GET /containers/json`, also with filters that dockerd cannot answer for containers of ours. */
export async function listContainers(parts: Parts, exchange: Exchange): Promise<Reply> {
  const intents = new Map((await intentsOf(parts)).map((intent) => [intent.container, intent]));
  if (intents.size === 0) return passOn(await exchange.forward());
  const networks = await parts.networks.listOrLast();
  const { target, kept } = splitFilters(exchange.head.target, networks);
  const answer = await exchange.forward({ target });
  if (answer.head.status !== 200) return passOn(answer);
  const { value, write } = parseExact(answer.body, "dockerd's answer");
  if (!Array.isArray(value)) return passOn(answer);
  const running = value.map((entry) => textAt(entry, 'Id')).filter((id) => (intents.get(id)?.sandbox ?? null) !== null);
  const exposed = await parts.exposed.of(running);
  const shown = value.map((entry) => {
    const id = textAt(entry, 'Id');
    const intent = intents.get(id);
    return intent === undefined ? entry : showListed(entry, intent, networks, exposed.get(id));
  });
  return passOn(answer, write(kept(shown)));
}

/** `DELETE /containers/NAME`: dockerd decides. */
export async function removeContainer(parts: Parts, { forward }: Exchange, name: string): Promise<Reply> {
  const known = await intentsOf(parts);
  const id = known.length === 0 ? undefined : await idOf(parts, name);
  const ours = known.some(({ container }) => container === id);
  const answer = await forward();
  const gone = answer.head.status === 204 || answer.head.status === 404;
  if (id !== undefined && ours && gone) await forget(parts, [id]);
  return passOn(answer);
}

/** `POST /containers/prune` */
export async function pruneContainers(parts: Parts, { forward }: Exchange): Promise<Reply> {
  const answer = await forward();
  const deleted = objectOf(answer)?.value['ContainersDeleted'];
  if (Array.isArray(deleted))
    await forget(
      parts,
      deleted.filter((id) => typeof id === 'string'),
    );
  return passOn(answer);
}

/** The network daemon hears it of dockerd as well, and its reconciler finds what neither has told. */
async function forget({ netd, logger }: Parts, ids: readonly string[]): Promise<void> {
  const signal = AbortSignal.timeout(netdMs);
  for (const container of ids)
    await netd.forget({ container }, signal).catch((error: unknown) => {
      logger.warn(
        { err: error, container },
        'what it held could not be released now; the network daemon does so later',
      );
    });
}

async function idOf(parts: Parts, name: string): Promise<string | undefined> {
  if (/^[0-9a-f]{64}$/.test(name)) return name;
  try {
    return (await lookUp(parts, name)).id;
  } catch (error) {
    // Then dockerd does not remove it either, or the network daemon sees it go.
    parts.logger.debug({ err: error, name }, 'no container of this name');
    return undefined;
  }
}

function objectOf(answer: Answer): { value: JsonObject; write: (value: unknown) => Buffer } | undefined {
  if (answer.head.status !== 200) return undefined;
  const { value, write } = parseExact(answer.body, "dockerd's answer");
  return Array.isArray(value) ? undefined : { value, write };
}
