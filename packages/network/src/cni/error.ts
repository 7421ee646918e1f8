import type { ErrorCode } from '@eru/kit';
import { EruError, isEruError, parseJsonObject } from '@eru/kit';

/** Well-known codes of plugins (specification 1.1.0, "Error"); 100 and up are a plugin's own. */
export const cniCodes = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  inputOutput: 5,
  undecodable: 6,
  invalidConfig: 7,
  invalidNetns: 8,
  tryAgainLater: 11,
  notAvailable: 50,
  limitedConnectivity: 51,
  internal: 999,
} as const;

const meanings: Readonly<Record<number, ErrorCode>> = {
  1: 'unsupported',
  2: 'unsupported',
  3: 'not_found',
  4: 'invalid',
  7: 'invalid',
  8: 'precondition',
  11: 'busy',
  50: 'unavailable',
  51: 'no_capacity',
};

/** What a plugin refused. `details` hold `plugin`, `command`, `cniCode` (absent when it did not say) and its own `said`. */
export function pluginError(
  plugin: string,
  command: string,
  answer: { code?: number; msg: string; details?: string },
): EruError {
  const { code, msg, details = '' } = answer;
  const text = details === '' ? msg : `${msg}; ${details}`;
  return new EruError(
    (code === undefined ? undefined : meanings[code]) ?? 'failed',
    `CNI plugin ${plugin} ${command}: ${text}`,
    { details: { plugin, command, said: text, ...(code !== undefined && { cniCode: code }) } },
  );
}

/** The error of a plugin that ended with `exit` other than 0, from what it printed; what it cannot be read from is quoted. */
export function errorOfOutput(
  plugin: string,
  command: string,
  output: { exit: number; stdout: string; stderr: string },
): EruError {
  const object = parseJsonObject(output.stdout);
  if (object !== undefined && typeof object['code'] === 'number') {
    const msg = typeof object['msg'] === 'string' && object['msg'] !== '' ? object['msg'] : `error ${object['code']}`;
    const details = typeof object['details'] === 'string' ? object['details'] : '';
    return pluginError(plugin, command, { code: object['code'], msg, details });
  }
  const said = (output.stdout.trim() || output.stderr.trim()).slice(0, 2000);
  const ended = `ended with ${output.exit}`;
  return pluginError(plugin, command, {
    msg: said === '' ? `${ended} and said nothing` : `${ended}: ${JSON.stringify(said)}`,
  });
}

/** The code that a plugin gave, or undefined when the error is not a plugin's. */
export function cniCodeOf(error: unknown): number | undefined {
  const code = isEruError(error) ? error.details['cniCode'] : undefined;
  return typeof code === 'number' ? code : undefined;
}
