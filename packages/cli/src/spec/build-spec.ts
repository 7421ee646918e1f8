import { EruError, parseConfig } from '@eru/kit';
import { z } from 'zod';

/** The build spec of reference/cli.md section 17; it may share a file with an app spec, whose keys are let pass. */
export type BuildSpec = z.infer<typeof specSchema>;

const texts = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]).transform(String)).default({});

const stageSchema = z.strictObject({
  base: z.string().min(1),
  repo: z
    .string()
    .regex(
      /^(https:\/\/|(ssh:\/\/)?(git|gitlab)@)[^\s\\]+\.git$/,
      'is no address of a repository; write git@HOST:PATH.git, gitlab@HOST:PATH.git or https://HOST/PATH.git',
    )
    .default(''),
  version: z.string().default(''),
  dir: z.string().default(''),
  submodule: z.boolean().default(false),
  security: z.boolean().default(false),
  commands: z.array(z.string()).default([]),
  envs: texts,
  args: texts,
  labels: texts,
  artifacts: texts,
  cache: texts,
  stop_signal: z.string().default(''),
});

const specSchema = z
  .looseObject({ stages: z.array(z.string()).min(1), builds: z.record(z.string(), stageSchema) })
  .check(({ value, issues }) => {
    for (const [index, stage] of value.stages.entries())
      if (value.builds[stage] === undefined)
        issues.push({
          code: 'custom',
          input: stage,
          path: ['stages', index],
          message: `${JSON.stringify(stage)} is not among the builds: ${Object.keys(value.builds).join(', ') || 'there are none'}`,
        });
  });

/** Complaints name the file, line and column. */
export function parseBuildSpec(
  text: string,
  file: string,
  env: Readonly<Record<string, string | undefined>>,
): BuildSpec {
  return parseConfig(expand(text, file, env), file, specSchema);
}

/** `{{ .NAME }}` is a variable of the environment. A name that is not set is an error: the original writes `<no value>` into the image. */
function expand(text: string, file: string, env: Readonly<Record<string, string | undefined>>): string {
  return text.replaceAll(/\{\{-?\s*(.*?)\s*-?\}\}/g, (expression, inner: string, offset: number) => {
    const line = text.slice(0, offset).split('\n').length;
    const name = /^\.(\w+)$/.exec(inner)?.[1];
    if (name === undefined)
      throw new EruError(
        'invalid',
        `${file}:${line}: ${expression} is not understood; write {{ .NAME }} for a variable of the environment`,
      );
    const value = env[name];
    if (value === undefined)
      throw new EruError('invalid', `${file}:${line}: ${expression}: ${name} is not set in the environment`);
    return value;
  });
}
