import type { Random } from '@eru/kit';
import { EruError, invalid } from '@eru/kit';

import type { Port, PortRecord, Reservation } from './records.ts';
import { keys } from './records.ts';
import type { NetworkView } from './view.ts';

export interface PortRequest {
  containerPort: number;
  /** 0 or absent: a free one. */
  hostPort?: number | undefined;
  /** Default tcp. */
  protocol?: Port['protocol'] | undefined;
  hostIp?: string | undefined;
}

/** Linux takes ports for outgoing connections from here up; Docker takes published ones from the same range. */
const automaticFirst = 32768;
const automaticCount = 28232;

/** Numbers for the ports that did not say one. `own` is a reservation whose ports count as free. */
export function pickPorts(
  view: NetworkView,
  node: string,
  requests: readonly PortRequest[],
  random: Random,
  own?: Reservation,
): Port[] {
  const chosen: Port[] = [];
  for (const { containerPort, hostPort = 0, protocol = 'tcp', hostIp = '' } of requests) {
    if (!isPort(containerPort)) throw invalid('containerPort', containerPort, 'write 1 to 65535');
    if (hostPort !== 0 && !isPort(hostPort))
      throw invalid('hostPort', hostPort, 'write 1 to 65535, or 0 for a free one');
    const port = { protocol, containerPort, hostIp };
    if (hostPort !== 0) chosen.push({ ...port, hostPort });
    else {
      const start = random.int(automaticCount);
      const free = (candidate: number): boolean => {
        if (chosen.some((other) => other.hostPort === candidate && other.protocol === protocol)) return false;
        const holders = view.get<PortRecord>(keys.port(node, { protocol, hostPort: candidate }))?.holders ?? [];
        return holders.every(({ owner, ifname }) => owner === own?.owner && ifname === own.ifname);
      };
      let found: number | undefined;
      for (let step = 0; step < automaticCount && found === undefined; step++) {
        const candidate = automaticFirst + ((start + step) % automaticCount);
        if (free(candidate)) found = candidate;
      }
      if (found === undefined)
        throw new EruError('no_capacity', `node ${node} has no free ${protocol} port left to publish`);
      chosen.push({ ...port, hostPort: found });
    }
  }
  return chosen;
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 65535;
}
