import { retry } from '@eru/kit';
import { readdir, readFile } from 'node:fs/promises';

/** Stops the process until it gets SIGCONT. Resolves when every thread of it stands: until then it may still answer. */
export async function standStill(pid: number): Promise<void> {
  if (pid <= 0) throw new Error(`no process to stop: ${pid}`);
  process.kill(pid, 'SIGSTOP');
  await retry(
    async () => {
      const tasks = await readdir(`/proc/${pid}/task`);
      const stats = await Promise.all(tasks.map((task) => readFile(`/proc/${pid}/task/${task}/stat`, 'utf8')));
      if (!stats.every((stat) => /^\d+ \(.*\) T/.test(stat))) throw new Error(`process ${pid} still runs`);
    },
    { attempts: 100, baseMs: 5, maxMs: 50 },
  );
}
