/** Changes that are remembered: who is further behind reads everything. */
const remembered = 4096;

/**
 * Workloads of one app and entrypoint by node, for whoever keeps them up to date over many plans: a plan that has seen these
 * counts before reads what changed since then. Any other map is read as a whole each time.
 */
export class Counts extends Map<string, number> {
  /** Grows with every change. */
  version = 0;
  readonly #changed: string[] = [];

  /** Not by way of `super`: a map fills itself before there is anything to note it in. */
  constructor(entries: Iterable<readonly [string, number]> = []) {
    super();
    for (const [node, count] of entries) this.set(node, count);
  }

  override set(node: string, count: number): this {
    this.#note(node);
    return super.set(node, count);
  }

  override delete(node: string): boolean {
    this.#note(node);
    return super.delete(node);
  }

  override clear(): void {
    this.version += remembered + 1;
    super.clear();
  }

  /** Nodes whose count changed after this version; `undefined` when that is forgotten. */
  since(version: number): string[] | undefined {
    if (this.version - version > remembered) return undefined;
    const nodes: string[] = [];
    for (let at = version; at < this.version; at += 1) nodes.push(this.#changed[at % remembered] as string);
    return nodes;
  }

  #note(node: string): void {
    this.#changed[this.version % remembered] = node;
    this.version += 1;
  }
}
