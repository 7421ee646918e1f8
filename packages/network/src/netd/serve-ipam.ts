import type { Logger } from '@eru/kit';
import { EruError } from '@eru/kit';

import { mailboxFolder } from './ipam-script.ts';
import { serveMailbox } from './mailbox.ts';
import type { IpamAnswer, NetworkService } from './service.ts';

/**
 * Takes the calls that `ipamScript` leaves: command, container id, interface, arguments, one per line, then the
 * configuration. The answer is the plugin's exit code and output.
 */
export function serveIpam(
  service: Pick<NetworkService, 'ipam'>,
  { socket, logger }: { socket: string; logger: Logger },
): Promise<{ close(): Promise<void> }> {
  return serveMailbox(mailboxFolder(socket), (text) => answerOf(service, text), logger);
}

async function answerOf(service: Pick<NetworkService, 'ipam'>, text: string): Promise<IpamAnswer> {
  const [command = '', containerId = '', ifname = '', args = '', ...rest] = text.split('\n');
  try {
    const config = JSON.parse(rest.join('\n')) as Record<string, unknown>;
    return await service.ipam({ command: command as 'ADD', containerId, ifname, args, config });
  } catch (error) {
    const { message } = EruError.from(error);
    return { code: 1, output: JSON.stringify({ cniVersion: '1.0.0', code: 6, msg: message }) };
  }
}
