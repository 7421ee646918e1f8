import { pb, type MessageInitShape, type ServiceHandlers } from '@eru/contract';
import { EruError } from '@eru/kit';

import { leniently } from './deploy-methods.ts';
import { readDeploy } from '../wire/deploy-options.ts';
import type { Edge } from '../edge.ts';
import { feed } from './exec-methods.ts';
import { checkStdin, runLambda, type LambdaEvent } from './lambda-run.ts';

type AttachMessage = MessageInitShape<typeof pb.AttachWorkloadMessageSchema>;

export function lambdaMethods(edge: Edge): ServiceHandlers<typeof pb.CoreRPC> {
  return {
    /** Section 4.7. */
    runAndWait: async function* (requests, { signal }): AsyncIterable<AttachMessage> {
      const iterator = requests[Symbol.asyncIterator]();
      const first = await iterator.next();
      if (first.done === true) throw new EruError('invalid', 'the first message must say what to run');
      const { deployOptions, async: detached, asyncTimeout } = first.value;
      const { template, ...rest } = readDeploy(deployOptions, { anyEngine: false });
      const stdin = template.stdin && !detached;
      const request = { ...rest, template: { ...template, stdin } };
      checkStdin(request);
      const lambda = {
        request,
        resources: leniently(edge, deployOptions ?? { resources: {} }),
        detached,
        timeoutSeconds: asyncTimeout,
        ...(stdin && { feed: (session: Parameters<typeof feed>[0]) => feed(session, iterator, ({ cmd }) => cmd) }),
      };
      const failures: string[] = [];
      for await (const event of runLambda(edge, lambda, signal)) {
        // Failures to create are told once all ids are.
        if (event.type !== 'created') while (failures.length > 0) yield failed('', failures.shift() ?? '');
        if (event.type === 'created' && event.error !== '') failures.push(`Create workload failed ${event.error}`);
        yield messageOf(event);
      }
      for (const failure of failures) yield failed('', failure);
    },
  };
}

function messageOf(event: LambdaEvent): AttachMessage {
  const { id: workloadId } = event;
  switch (event.type) {
    case 'created':
      return { workloadId, stdStreamType: pb.StdStreamType.TYPEWORKLOADID };
    case 'output': {
      const stdStreamType = event.stream === 'stderr' ? pb.StdStreamType.STDERR : pb.StdStreamType.STDOUT;
      return { workloadId, data: event.data, stdStreamType };
    }
    case 'mute':
      return failed(workloadId, event.error);
    case 'exited':
      if (event.exit === undefined) return failed(workloadId, event.error);
      return { workloadId, data: utf8.encode(`[exitcode] ${event.exit.exitCode}`) };
  }
}

function failed(workloadId: string, text: string): AttachMessage {
  return { workloadId, data: utf8.encode(text), stdStreamType: pb.StdStreamType.ERUERROR };
}

const utf8 = new TextEncoder();
