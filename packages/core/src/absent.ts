import { EruError } from '@eru/kit';

/** The original's one text for everything that its store does not have; clients match on it (reference/core-rpc.md section 1.4). */
function absent(key: string): EruError {
  return new EruError('not_found', `key: ${key}: bad \`Count\` value, entity count invalid`, { details: { key } });
}

export const noSuchPod = (name: string): EruError => absent(`/pod/info/${name}`);
export const noSuchNode = (name: string): EruError => absent(`/node/${name}`);
export const noSuchWorkload = (id: string): EruError => absent(`/workloads/${id}`);
export const noHeartbeat = (node: string): EruError => absent(`/status:node/${node}`);
