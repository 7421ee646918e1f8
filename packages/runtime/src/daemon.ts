import { serve, type Serving } from '@eru/contract';
import { engineService, type Engine } from '@eru/engines';
import type { Logger } from '@eru/kit';

/** The node daemon: an engine on a unix socket that only its user may open. Closing it never touches a workload. */
export async function serveRuntime({
  socket,
  engine,
  logger,
}: {
  socket: string;
  engine: Engine;
  logger: Logger;
}): Promise<Serving> {
  const serving = await serve({ listen: `unix://${socket}`, services: [engineService(engine)] });
  logger.info({ socket }, 'the node daemon serves');
  return serving;
}
