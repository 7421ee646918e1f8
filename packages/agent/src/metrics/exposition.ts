/** One metric in Prometheus' text form, all its samples together. */
export interface Family {
  name: string;
  type: 'gauge' | 'counter';
  help: string;
  samples: { labels: Readonly<Record<string, string>>; value: number }[];
}

/** Families by name, in the order in which they were first used. */
export class Families {
  readonly #byName = new Map<string, Family>();

  add(
    { name, type, help }: Pick<Family, 'name' | 'type' | 'help'>,
    labels: Readonly<Record<string, string>>,
    value: number | undefined,
  ): void {
    if (value === undefined) return;
    const family = this.#byName.get(name) ?? { name, type, help, samples: [] };
    this.#byName.set(name, family);
    family.samples.push({ labels, value });
  }

  text(): string {
    const lines: string[] = [];
    for (const { name, type, help, samples } of this.#byName.values()) {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
      for (const { labels, value } of samples) lines.push(`${name}${labelText(labels)} ${value}`);
    }
    return lines.map((line) => `${line}\n`).join('');
  }
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escaped(value: string): string {
  return value
    .replaceAll('\\', String.raw`\\`)
    .replaceAll('\n', String.raw`\n`)
    .replaceAll('"', String.raw`\"`);
}
