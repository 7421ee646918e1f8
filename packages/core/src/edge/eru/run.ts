import type { eru, MessageInitShape, ServiceHandlers } from '@eru/contract';
import { EruError } from '@eru/kit';

import { readDeploy } from '../wire/deploy-options.ts';
import type { Edge } from '../edge.ts';
import { feedSession } from './exec.ts';
import { checkStdin, runLambda, type LambdaEvent } from '../core-rpc/lambda-run.ts';
import { readResourcesStrictly } from '../wire/resources-json.ts';

type RunResponse = MessageInitShape<typeof eru.RunResponseSchema>;

export function eruRunMethods(edge: Edge): ServiceHandlers<typeof eru.Eru> {
  const { scheduler } = edge.context;
  return {
    run: async function* (requests, { signal }): AsyncIterable<RunResponse> {
      const iterator = requests[Symbol.asyncIterator]();
      const { options, process, engine, asynchronous: detached, timeout } = await opening(iterator);
      const { template, ...rest } = readDeploy(options, { process, engine, anyEngine: true });
      const stdin = template.stdin && !detached;
      const request = { ...rest, template: { ...template, stdin } };
      checkStdin(request);
      const resources = readResourcesStrictly(options?.resources ?? {}, (asked) => scheduler.unknownKeys(asked));
      scheduler.validate(resources);
      const lambda = {
        request,
        resources,
        detached,
        timeoutSeconds: timeout,
        ...(stdin && {
          feed: (session: Parameters<typeof feedSession>[0]) => feedSession(session, iterator).catch(() => {}),
        }),
      };
      for await (const event of runLambda(edge, lambda, signal)) {
        const response = responseOf(event);
        if (response !== undefined) yield response;
      }
    },
  };
}

async function opening(requests: AsyncIterator<eru.RunRequest>): Promise<eru.RunOpen> {
  const first = await requests.next();
  if (first.done === true || first.value.request.case !== 'open')
    throw new EruError('invalid', 'the first message of Run must be `open`');
  return first.value.request.value;
}

function responseOf(event: LambdaEvent): RunResponse | undefined {
  const { id } = event;
  switch (event.type) {
    case 'created': {
      const { name, node, error } = event;
      return { response: { case: 'created', value: { id, name, node, error } } };
    }
    case 'output':
      return { response: { case: 'output', value: { id, data: event.data, stderr: event.stream === 'stderr' } } };
    case 'mute':
      return { response: { case: 'output', value: { id, data: Buffer.from(`${event.error}\n`), stderr: true } } };
    case 'exited': {
      const { exitCode = 0, oomKilled = false } = event.exit ?? {};
      return { response: { case: 'exited', value: { id, exitCode, oomKilled, error: event.error } } };
    }
  }
}
