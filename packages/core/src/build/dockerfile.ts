import type { BuildPlan, Stage } from './build-plan.ts';

/** The user that the image is to run as; made in it. */
export interface ImageUser {
  name: string;
  /** More than 0. */
  uid: number;
}

/** The plan as a Dockerfile (reference/core-behaviour.md section 5.4): one `FROM` for each stage, the last one is the image. */
export function dockerfile(plan: BuildPlan, user?: ImageUser): string {
  const stages = plan.map((stage, index) => stageLines(stage, plan[index - 1]).join('\n'));
  return `${[...stages, ...(user === undefined ? [] : [userLines(user).join('\n')])].join('\n\n')}\n`;
}

function stageLines(stage: Stage, previous: Stage | undefined): string[] {
  return [
    `FROM ${stage.base} as ${stage.name}`,
    ...sorted(stage.args).map(([key, value]) => `ARG ${key}=${quoted(value)}`),
    ...sorted(stage.envs).map(([key, value]) => `ENV ${key}=${quoted(value)}`),
    ...sorted(stage.labels).map(([key, value]) => `LABEL ${quoted(key)}=${quoted(value)}`),
    // Makes the folder as well.
    ...(stage.dir === '' ? [] : [`WORKDIR ${stage.dir}`]),
    ...(stage.source === undefined ? [] : [`ADD ${JSON.stringify([stage.source.folder, '.'])}`]),
    ...(stage.stopSignal === '' ? [] : [`STOPSIGNAL ${stage.stopSignal}`]),
    ...sorted(previous?.cache ?? {}).map(
      ([from, to]) => `COPY --from=${previous?.name ?? ''} ${JSON.stringify([from, to])}`,
    ),
    ...stage.commands.map((command) => `RUN ${/[\r\n]/.test(command) ? inShell(command) : command}`),
  ];
}

/** Lines that tools of every base understand, also one without `adduser`. */
function userLines({ name, uid }: ImageUser): string[] {
  const lines = [
    [`${name}::${uid}:${uid}:${name}:/dev/null:/sbin/nologin`, '/etc/passwd'],
    [`${name}:x:${uid}:`, '/etc/group'],
    [`${name}:!::0:::::`, '/etc/shadow'],
  ] as const;
  return [...lines.map(([line, file]) => `RUN echo '${line}' >> ${file}`), `USER ${name}`];
}

function sorted(pairs: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(pairs).toSorted(([a], [b]) => (a < b ? -1 : 1));
}

/** Variables in it are still expanded, as people expect of `ENV PATH="/app:$PATH"`. */
function quoted(value: string): string {
  return `"${value.replaceAll(/["\\]/g, '\\$&')}"`;
}

/** A script of several lines keeps them: the form with brackets is JSON. */
function inShell(script: string): string {
  return JSON.stringify(['/bin/sh', '-c', script]);
}
