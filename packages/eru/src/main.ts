import { runCli } from '@eru/cli';

import { addDaemonCommands } from './commands/commands.ts';
import { version } from './version.ts';

// The first Ctrl-C asks everything to end; the second does not ask.
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (interrupted.signal.aborted) process.exit(130);
    interrupted.abort(new DOMException(signal, 'AbortError'));
  });
}

process.exitCode = await runCli(process.argv.slice(2), {
  version,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  signal: interrupted.signal,
  extend: addDaemonCommands,
});
// Idle connections must not keep a finished command alive.
process.exit();
