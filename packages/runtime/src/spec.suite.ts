import { bareSpec, type Engine, type WorkloadSpec } from '@eru/engines';

let specs = 0;

/** A workload with nothing but a command. */
export function specOf(command: readonly string[], more: Partial<WorkloadSpec> = {}): WorkloadSpec {
  specs += 1;
  const name = `runtime_suite_${String(specs).padStart(4, '0')}`;
  return bareSpec(name, command, { labels: { 'eru.operation': name }, ...more });
}

/** The whole log, line by line. */
export async function lines(engine: Engine, id: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { data } of engine.logs(id)) found.push(Buffer.from(data).toString().trimEnd());
  return found;
}
