import { pb, type MessageInitShape, type ServiceHandlers } from '@eru/contract';
import { EruError, isEruError, isJsonObject, type JsonObject } from '@eru/kit';
import type { Engine } from '@eru/engines';

import { buildImage, type ImageRequest, type ImageSource } from '../../build/build-image.ts';
import { buildPlan } from '../../build/build-plan.ts';
import type { ImageUser } from '../../build/dockerfile.ts';
import { imageReferences } from '../../build/image-references.ts';
import { inSlices } from '../../operations/slices.ts';
import { nodesFor } from '../candidates.ts';
import type { Edge } from '../edge.ts';
import { known } from './workload-methods.ts';

type Message = MessageInitShape<typeof pb.BuildImageMessageSchema>;

/** One image, built in the build pod and pushed. Bad input fails the call; a build or push that fails is told in the messages. */
export function buildMethods(edge: Edge): ServiceHandlers<typeof pb.CoreRPC> {
  const { context, candidates, builds } = edge;
  return {
    buildImage: async function* (options, { signal }) {
      // In the original's order.
      if (options.builds?.stages.length === 0) throw new EruError('invalid', 'no builds in spec');
      if (builds.scm === undefined) throw new EruError('precondition', 'SCM not set');
      if (builds.pod === '') throw new EruError('precondition', 'no build pod set in config');
      const nodes = nodesFor(candidates, builds.pod, [], 'cannot alloc a plan, not enough nodes capacity');
      const { source, unknown } = sourceOf(options);
      if (unknown.length > 0) context.logger.warn({ stages: unknown }, 'stages without a build are skipped');
      const references = imageReferences(builds.home, options.name, options.tags);
      const request = { source, references, platform: options.platform };
      for await (const object of onSomeNode(edge, nodes, request, signal)) yield messageOf(object);
    },
  };
}

function sourceOf(options: pb.BuildImageOptions): { source: ImageSource; unknown: string[] } {
  const { buildMethod, tar, existId: id } = options;
  if (buildMethod === pb.BuildImageOptions_BuildMethod.RAW) {
    if (tar.length === 0) throw new EruError('invalid', 'tar: a raw build needs a tar archive with a Dockerfile in it');
    return { source: { from: 'tar', archive: tar }, unknown: [] };
  }
  if (buildMethod === pb.BuildImageOptions_BuildMethod.EXIST) {
    if (id === '') throw new EruError('invalid', 'workload ID is empty');
    return { source: { from: 'workload', id }, unknown: [] };
  }
  const { plan, unknown } = buildPlan(options.builds);
  return { source: { from: 'plan', plan, user: userOf(options) }, unknown };
}

/** Only together with a uid, as the original has it. */
function userOf({ user: name, uid }: pb.BuildImageOptions): ImageUser | undefined {
  if (name === '' || uid === 0) return undefined;
  if (!/^[a-z_][\w-]*$/.test(name) || uid < 0)
    throw new EruError(
      'invalid',
      `user: ${JSON.stringify(name)} with uid ${uid}: neither is one that a Unix system has`,
    );
  return { name, uid };
}

/** The least used node of the build pod, which has an engine that builds; the workload's own when its files are the image. */
async function* onSomeNode(
  edge: Edge,
  builders: readonly string[],
  request: ImageRequest,
  signal: AbortSignal,
): AsyncGenerator<JsonObject> {
  const { context, builds } = edge;
  let nodes = builders;
  const on = (engine: Engine): AsyncGenerator<JsonObject> =>
    buildImage(request, { engine, settings: builds, registries: context.registries, logger: context.logger, signal });
  if (request.source.from === 'workload') {
    const { node } = known(context.view, request.source.id);
    yield* on(context.engineOf(node));
    return;
  }
  for (;;) {
    const node = await leastUsed(edge, nodes, signal);
    let begun = false;
    try {
      for await (const object of on(context.engineOf(node))) {
        begun = true;
        yield object;
      }
      return;
    } catch (error) {
      nodes = nodes.filter((other) => other !== node);
      if (begun || !isEruError(error, 'unsupported') || nodes.length === 0) throw error;
    }
  }
}

async function leastUsed({ context }: Edge, candidates: readonly string[], signal: AbortSignal): Promise<string> {
  const { scheduler, view, clock } = context;
  const asked = {
    resources: {},
    candidates,
    labels: {},
    strategy: 'GLOBAL',
    count: 1,
    nodesLimit: 0,
    counts: new Map(),
  } as const;
  const spread = await inSlices(scheduler.spreadInSteps(view.fleet, asked), clock, signal);
  const node = spread.ok ? spread.choices[0]?.node : undefined;
  if (node === undefined) throw new EruError('no_capacity', 'cannot alloc a plan, not enough nodes capacity');
  return node;
}

function messageOf(object: JsonObject): Message {
  const detail = isJsonObject(object['errorDetail']) ? object['errorDetail'] : {};
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  const { code = 0, message } = detail;
  return {
    id: text(object['id']),
    status: text(object['status']),
    progress: text(object['progress']),
    error: text(object['error']),
    stream: text(object['stream']),
    // Clients of the original read it unasked.
    errorDetail: { code: BigInt(typeof code === 'number' ? Math.trunc(code) : 0), message: text(message) },
  };
}
