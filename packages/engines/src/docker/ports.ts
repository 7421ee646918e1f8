import { EruError, type Random } from '@eru/kit';

/** Where nobody else chooses: between the ports of well-known services and those that kernels give to connections. */
const firstPort = 20_000;
const lastPort = 32_767;

/**
 * A port for each name, that no container has which Eru published. Whether another program of the machine holds it only shows at the
 * start, as `busy`: the daemon may be on another machine.
 */
export function choosePorts(
  names: readonly string[],
  taken: ReadonlySet<number>,
  random: Random,
): Record<string, number> {
  const chosen: Record<string, number> = {};
  const free = (port: number): boolean => !taken.has(port) && !Object.values(chosen).includes(port);
  for (const name of names) {
    const begin = random.int(lastPort - firstPort + 1);
    const at = (step: number): number => firstPort + ((begin + step) % (lastPort - firstPort + 1));
    let step = 0;
    while (!free(at(step))) {
      step += 1;
      if (step > lastPort - firstPort) throw new EruError('busy', 'publish: all ports of this node are taken');
    }
    chosen[name] ??= at(step);
  }
  return chosen;
}
