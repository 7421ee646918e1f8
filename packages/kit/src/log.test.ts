import { expect, it } from 'vitest';

import { createLogger } from './log.ts';

it('a log that cannot be written does not end the process that writes it', () => {
  const logger = createLogger({ file: '/dev/full' });
  for (let line = 0; line < 5000; line++) logger.info({ line }, 'x'.repeat(300));
  expect(() => logger.error('still here')).not.toThrow();
});
