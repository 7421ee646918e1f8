import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { readIfExists, silentLogger } from '@eru/kit';
import { openExternalKinds, type ExternalKinds, type ExternalKindsOptions } from './external-kinds.ts';
import { Plugin } from './plugin.ts';

/**
 * A plugin folder of shell scripts that count seats: a node's usage is the sum of its workloads' `seats`, and stands in
 * `NAME.used`. The commands that change something write it, all others only answer.
 * What stands in `NAME.fault`, `COMMAND FAULT`, goes wrong; with `after-` in front the effect is there before.
 */
export class FakePlugins {
  readonly root: string;
  readonly folder: string;

  private constructor(root: string) {
    this.root = root;
    this.folder = path.join(root, 'plugins');
  }

  static async create(...names: string[]): Promise<FakePlugins> {
    const fakes = new FakePlugins(await mkdtemp(path.join(tmpdir(), 'eru-plugins-')));
    await mkdir(fakes.folder, { mode: 0o755 });
    for (const name of names) await fakes.add(name, counter);
    return fakes;
  }

  async add(name: string, script: string): Promise<string> {
    const file = path.join(this.folder, name);
    await writeFile(file, script);
    await chmod(file, 0o755);
    return file;
  }

  /** `when`: only of calls with this in their input. */
  async fail(name: string, command: string, fault: string, when = ''): Promise<void> {
    await writeFile(path.join(this.root, `${name}.fault`), `${command} ${fault} ${when}`);
  }

  /** `none` when the node is unknown to the plugin. */
  async used(name: string): Promise<string> {
    return (await readIfExists(path.join(this.root, `${name}.used`)))?.trim() ?? 'none';
  }

  async setUsed(name: string, seats: number): Promise<void> {
    await writeFile(path.join(this.root, `${name}.used`), `${seats}\n`);
  }

  async capacity(name: string): Promise<string> {
    return (await readIfExists(path.join(this.root, `${name}.capacity`)))?.trim() ?? '10';
  }

  /** Each call so far, `COMMAND INPUT`. */
  async calls(name: string): Promise<string[]> {
    return (await readFile(path.join(this.root, `${name}.calls`), 'utf8')).trim().split('\n');
  }

  open(options: Partial<ExternalKindsOptions> = {}): Promise<ExternalKinds> {
    return openExternalKinds({ dir: this.folder, taken: [], logger: silentLogger, ...options });
  }

  plugin(name: string, timeoutMs = 20_000): Plugin {
    return new Plugin({
      name,
      path: path.join(this.folder, name),
      folder: this.folder,
      timeoutMs,
      admit: (call) => call(),
    });
  }

  async close(): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }
}

const counter = `#!/bin/sh
at=../$(basename "$0")
input=$(cat)
echo "$1 $input" >>"$at.calls"
[ -f "$at.fault" ] && read -r command fault when <"$at.fault"
[ "$command" = "$1" ] || fault=
case "$input" in *"$when"*) ;; *) fault= ;; esac

misbehave() {
  case "$fault" in
    hang) echo 'waiting for the licence server' >&2; sleep 600 & sleep 600 ;;
    crash) kill -SEGV $$ ;;
    garbage) echo 'Usage: counter [options]'; exit 0 ;;
    refuse) echo 'cannot alloc a plan, not enough resource' >&2; exit 128 ;;
    odd) echo 'the licence server is down' >&2; exit 1 ;;
    lie) cat "$at.lie"; exit 0 ;;
  esac
}
sum() {
  total=0
  for seats in $(echo "$input" | grep -o '"seats":-\\{0,1\\}[0-9]*' | cut -d: -f2); do total=$((total + seats)); done
}

case "$fault" in after-*) fault=\${fault#after-} ;; *) misbehave ;; esac
used=0
[ -f "$at.used" ] && read -r used <"$at.used"
capacity=10
[ -f "$at.capacity" ] && read -r capacity <"$at.capacity"
case "$1" in
  set-node-resource-usage)
    sum
    before=$used
    case "$input" in *'"incr":true'*) used=$((used + total)) ;; *) used=$((used - total)) ;; esac
    echo $used >"$at.used"
    answer="{\\"before\\":{\\"seats\\":$before},\\"after\\":{\\"seats\\":$used}}" ;;
  fix-node-resource) sum; echo $total >"$at.used"
    answer="{\\"capacity\\":{\\"seats\\":$capacity},\\"usage\\":{\\"seats\\":$total},\\"diffs\\":[\\"$used != $total\\"]}" ;;
  get-node-resource-info)
    answer="{\\"capacity\\":{\\"seats\\":$capacity},\\"usage\\":{\\"seats\\":$used},\\"diffs\\":null}" ;;
  add-node) echo 0 >"$at.used"; answer='{"capacity":{"seats":10},"usage":{"seats":0}}' ;;
  remove-node) rm -f "$at.used"; answer= ;;
  set-node-resource-info) echo "$input" | grep -o '"usage":{"seats":[0-9]*' | grep -o '[0-9]*$' >"$at.used"; answer='null' ;;
  set-node-resource-capacity) sum; echo $total >"$at.capacity"
    answer="{\\"before\\":{\\"seats\\":$capacity},\\"after\\":{\\"seats\\":$total}}" ;;
  get-nodes-deploy-capacity)
    answer='{"nodes_deploy_capacity_map":{"n1":{"Capacity":3,"Usage":0.5,"Rate":0.1,"Weight":1}},"total":3}' ;;
  calculate-deploy) answer='{"engines_params":[{"seat":"a"}],"workloads_resource":[{"seats":1}]}' ;;
  calculate-realloc) answer='{"engine_params":{"seat":"b"},"delta_resource":{"seats":1},"workload_resource":{"seats":2}}' ;;
  calculate-remap) answer='{"engine_params_map":{"w1":{"seat":"c"}}}' ;;
  get-most-idle-node) answer='{"nodename":"n1","priority":7}' ;;
  get-metrics-description) answer='[{"name":"seats_used","help":"seats","type":"gauge","labels":["podname","nodename"]}]' ;;
  get-metrics) answer='[{"name":"seats_used","labels":["p","n1"],"key":"core.node.n1.seats","value":"1"}]' ;;
esac
[ -n "$fault" ] && misbehave
echo "$answer"
`;
