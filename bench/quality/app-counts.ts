/** Instances of each app by node, kept by every planner's fleet for the strategies that level them. */
export class AppCounts {
  readonly #byApp = new Map<number, Map<string, number>>();

  of(app: number): ReadonlyMap<string, number> {
    return this.#byApp.get(app) ?? new Map<string, number>();
  }

  add(app: number, node: string, sign: 1 | -1): void {
    const counts = this.#byApp.get(app) ?? new Map<string, number>();
    this.#byApp.set(app, counts);
    const count = (counts.get(node) ?? 0) + sign;
    if (count === 0) counts.delete(node);
    else counts.set(node, count);
  }
}
