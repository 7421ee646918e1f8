import { create, engine as wire, mount } from '@eru/contract';
import type { CallContext, MountedService, ServiceHandlers } from '@eru/contract';
import { EruError, toSafeNumber } from '@eru/kit';

import { networkQuestion, networkRequest, type CallOptions, type Engine, type FencedOptions } from '../engine.ts';
import { gather } from '../gather.ts';
import { serveSession } from './wire-session.ts';
import {
  fromJsonMap,
  fromSpec,
  instant,
  parts,
  toEvent,
  toExit,
  toInfo,
  toJson,
  toLogEntry,
  toWorkload,
} from './wire.ts';

/** Any engine as the service of a node daemon, for `serve`. */
export function engineService(engine: Engine): MountedService {
  return mount(wire.Engine, { ...lifeHandlers(engine), ...streamHandlers(engine), ...supplyHandlers(engine) });
}

/** Of the lines in one message: a message for each costs more than the line. */
const groupBytes = 64 * 1024;

type Handlers = ServiceHandlers<typeof wire.Engine>;

function lifeHandlers(engine: Engine): Handlers {
  return {
    info: async (_request, context) => toInfo(await engine.info(call(context))),
    ping: async (_request, context) => {
      await engine.ping(call(context));
      return {};
    },
    create: async ({ spec, revision }, context) => {
      if (spec === undefined) throw new EruError('invalid', 'spec: a workload needs a spec');
      return toWorkload(await engine.create(fromSpec(spec), fenced(context, revision)));
    },
    start: async ({ id, revision }, context) => {
      await engine.start(id, fenced(context, revision));
      return {};
    },
    stop: async ({ id, revision, graceMs }, context) => {
      const grace = graceMs === undefined ? {} : { graceMs: toSafeNumber(graceMs) };
      await engine.stop(id, { ...fenced(context, revision), ...grace });
      return {};
    },
    kill: async ({ id, signal }, context) => {
      await engine.kill(id, signal, call(context));
      return {};
    },
    suspend: async ({ id, revision }, context) => {
      await engine.suspend(id, fenced(context, revision));
      return {};
    },
    resume: async ({ id, revision }, context) => {
      await engine.resume(id, fenced(context, revision));
      return {};
    },
    remove: async ({ id, force, revision }, context) => {
      await engine.remove(id, { ...fenced(context, revision), force });
      return {};
    },
    inspect: async ({ id }, context) => toWorkload(await engine.inspect(id, call(context))),
    list: async function* ({ labels }, context) {
      for (const state of await engine.list({ ...call(context), labels })) yield toWorkload(state);
    },
    wait: async ({ id }, context) => toExit(await engine.wait(id, call(context))),
    update: async ({ id, engineParams, revision }, context) => {
      const params = fromJsonMap(engineParams, 'engine_params');
      return toWorkload(await engine.update(id, params, fenced(context, revision)));
    },
    stats: async ({ id }, context) => {
      const stats = await engine.stats(id, call(context));
      const { memoryBytes, oomKills } = stats;
      return { ...stats, atMs: instant(stats.atMs), memoryBytes: BigInt(memoryBytes), oomKills: BigInt(oomKills) };
    },
  };
}

function streamHandlers(engine: Engine): Handlers {
  return {
    events: async function* ({ after }, context) {
      const from = after === '' ? {} : { after };
      for await (const event of engine.events({ ...call(context), ...from })) yield toEvent(event);
    },
    logs: async function* ({ id, follow, tail, sinceMs, untilMs, grouped }, context) {
      const bounds = {
        ...(tail !== undefined && { tail }),
        ...(sinceMs !== undefined && { sinceMs: toSafeNumber(sinceMs) }),
        ...(untilMs !== undefined && { untilMs: toSafeNumber(untilMs) }),
      };
      const entries = engine.logs(id, { ...call(context), ...bounds, follow });
      if (!grouped) {
        for await (const entry of entries) yield toLogEntry(entry);
        return;
      }
      for await (const [first, ...rest] of gather(entries, groupBytes, ({ data }) => data.length))
        if (first !== undefined)
          yield { ...toLogEntry(first), more: rest.map((one) => create(wire.LogEntrySchema, toLogEntry(one))) };
    },
    exec: async function* (requests, context) {
      const { open, rest } = await opened(requests);
      const { id, command, env, dir, user, stdin, tty, size } = open;
      const first = size === undefined ? {} : { size: { rows: size.rows, cols: size.cols } };
      const session = await engine.exec(id, { command, env, dir, user, stdin, tty, ...first }, call(context));
      yield* serveSession(session, stdin, inputsOf(rest), true, context.signal);
    },
    attach: async function* (requests, context) {
      const { open, rest } = await opened(requests);
      const session = await engine.attach(open.id, call(context));
      const stdin = await session.write(new Uint8Array()).then(
        () => true,
        () => false,
      );
      yield* serveSession(session, stdin, inputsOf(rest), false, context.signal);
    },
    copyTo: async (requests, context) => {
      const { open, rest } = await opened(requests);
      await engine.copyTo(open.id, open.path, bytesOf(rest, 'data'), call(context));
      return {};
    },
    copyFrom: async function* ({ id, path }, context) {
      for await (const chunk of engine.copyFrom(id, path, call(context)))
        for (const data of parts(chunk)) yield { data };
    },
  };
}

function supplyHandlers(engine: Engine): Handlers {
  return {
    networkConnect: async ({ id, network, ipv4, ipv6 }, context) => ({
      addresses: await engine.networkConnect(id, network, { ...call(context), ipv4, ipv6 }),
    }),
    networkDisconnect: async ({ id, network, force }, context) => {
      await engine.networkDisconnect(id, network, { ...call(context), force });
      return {};
    },
    networkList: async ({ drivers }, context) => ({
      networks: await engine.networkList({ ...call(context), drivers }),
    }),
    askNetwork: async ({ verb, request }, context) => ({
      answer: JSON.stringify(await engine.askNetwork(networkQuestion(verb), networkRequest(request), call(context))),
    }),
    imageList: async ({ filter }, context) => ({ images: await engine.imageList(filter, call(context)) }),
    imagePull: async function* ({ reference, registries }, context) {
      for await (const object of engine.imagePull(reference, { ...call(context), registries }))
        yield { json: toJson(object) };
    },
    imagePush: async function* ({ reference, registries }, context) {
      for await (const object of engine.imagePush(reference, { ...call(context), registries }))
        yield { json: toJson(object) };
    },
    imageRemove: async ({ reference, force, prune }, context) => ({
      removed: await engine.imageRemove(reference, { ...call(context), force, prune }),
    }),
    imagePrune: async (_request, context) => {
      await engine.imagePrune(call(context));
      return {};
    },
    imageBuild: async function* (requests, context) {
      const { open, rest } = await opened(requests);
      const { references, platform, registries } = open;
      const options = { ...call(context), registries };
      const progress = engine.imageBuild({ references, platform }, bytesOf(rest, 'context'), options);
      for await (const object of progress) yield { json: toJson(object) };
    },
    imageBuildPrune: async (_request, context) => {
      await engine.imageBuildPrune(call(context));
      return {};
    },
    imageCommit: async ({ id, references }, context) => ({
      image: await engine.imageCommit(id, references, call(context)),
    }),
    raw: async ({ id, operation, params }, context) => ({
      data: await engine.raw(id, operation, params, call(context)),
    }),
  };
}

/** The client's deadline reaches the engine as the end of its signal. */
function call(context: CallContext): CallOptions {
  return { signal: context.signal };
}

function fenced(context: CallContext, revision: bigint | undefined): FencedOptions {
  return revision === undefined ? call(context) : { ...call(context), revision: toSafeNumber(revision, 'revision') };
}

type OneOf = { case: string | undefined; value?: unknown };
type OpenOf<Request> = Request extends { case: 'open'; value: infer Open } ? Open : never;

/** The first message of a stream, which says what it is about, and the messages after it. */
async function opened<Message extends { request: OneOf }>(
  requests: AsyncIterable<Message>,
): Promise<{ open: OpenOf<Message['request']>; rest: AsyncIterable<Message> }> {
  const iterator = requests[Symbol.asyncIterator]();
  const first = await iterator.next();
  const request = first.done === true ? undefined : first.value.request;
  if (request?.case !== 'open') throw new EruError('invalid', 'the first message has to be `open`');
  return { open: request.value as OpenOf<Message['request']>, rest: { [Symbol.asyncIterator]: () => iterator } };
}

async function* inputsOf(
  messages: AsyncIterable<wire.ExecRequest | wire.AttachRequest>,
): AsyncGenerator<wire.SessionInput> {
  for await (const { request } of messages) if (request.case === 'input') yield request.value;
}

async function* bytesOf(messages: AsyncIterable<{ request: OneOf }>, name: string): AsyncGenerator<Uint8Array> {
  for await (const { request } of messages) if (request.case === name) yield request.value as Uint8Array;
}
