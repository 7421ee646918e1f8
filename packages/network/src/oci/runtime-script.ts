import path from 'node:path';

import type { RuntimeSettings } from './containers.ts';

/** What the runtime script knows. All paths are absolute. */
export interface RuntimeScript {
  /** runc or crun. */
  runtime: string;
  /** Where the daemon takes calls: `runtimeFolder`. */
  calls: string;
  /** Names of the containers that are declared: `declaredFolder`. */
  declared: string;
  namespaces: string;
  /** Where dockerd keeps what it knows of its containers. */
  dockerContainers: string;
  /** What it tells the daemon with each call. */
  settings: RuntimeSettings;
}

/** Where a daemon with this socket takes calls of the runtime script. */
export function runtimeFolder(socket: string): string {
  return path.join(path.dirname(socket), 'oci');
}

/** What a word of JSON looks like that asks for a network: cheap, and wrong only in that it may look twice. */
const asks = '"(fixed-ip|eru[.]network/[^"]*)" *:';
const asksInImage = '"(ERU_NETWORK|ERU_IP|ERU_FIXED_IP|IPPOOL|IPV4|fixed-ip)=';

/**
 * An OCI runtime in front of runc or crun, which gives containers of ours a namespace that the network daemon has made. A
 * shell script, because an engine calls its runtime six times in a container's life and a Node process takes 30 ms to
 * begin (network.md section 6.6): all but `create` and `delete` is a `case` and an `exec`, and a `create` of others one `grep`.
 */
export function runtimeScript(known: RuntimeScript): string {
  const { runtime, calls, declared, namespaces, dockerContainers, settings } = known;
  const { all, trustImages } = settings;
  const pattern = trustImages ? `${asks}|${asksInImage}` : asks;
  return `#!/bin/sh
# OCI runtime: ${path.basename(runtime)} with the networks of "eru netd". Made by: eru net install-docker
PATH=\${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
runtime=${quoted(runtime)}
settings=${quoted(JSON.stringify(settings))}
calls=${quoted(calls)}

# docker-cni is called so: oci --config FILE -- WORDS
if [ "\${1:-}" = oci ]; then
  while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done
  [ $# -eq 0 ] || shift
fi

verb= log= option=
for word; do
  case $option in
  '') ;;
  --log) log=$word option=; continue ;;
  *) option=; continue ;;
  esac
  case $word in
  --log=*) log=\${word#--log=} ;;
  --root | --log | --log-format | --criu | --rootless) option=$word ;;
  -*) ;;
  create | delete | eru-hook) verb=$word; break ;;
  *) break ;;
  esac
done
[ -n "$verb" ] || exec "$runtime" "$@"
for id; do :; done
case $id in '' | -* | *[!A-Za-z0-9_.-]*) exec "$runtime" "$@" ;; esac

# Leaves a call of these lines for the daemon, and prints its answer. Ends with 1 if that is a refusal.
call() {
  seconds=\${ERU_NETWORK_SECONDS:-90}
  { read -r pid <"$calls/pid" && kill -0 "$pid"; } 2>/dev/null ||
    { refusal "no network daemon answers in $calls; start it with: eru netd --docker"; return 1; }
  # Of this call alone: the reply of the one before may not be cleared away yet.
  name=$$-$1-$id
  umask 077
  mkfifo "$calls/$name.reply" 2>/dev/null || { refusal "$calls cannot be written to"; return 1; }
  printf '%s\\n' "$@" >"$calls/$name.call"
  # Opened for reading as well, so that nobody waits here for a daemon that has just died.
  echo "$name" 1<>"$calls/calls"
  until answer=$(timeout 2 cat "$calls/$name.reply" 2>/dev/null) && [ -n "$answer" ]; do
    seconds=$((seconds - 2))
    if [ $seconds -le 0 ] || ! kill -0 "$pid" 2>/dev/null || [ ! -e "$calls/$name.reply" ]; then
      rm -f "$calls/$name.call" "$calls/$name.reply"
      refusal 'the network daemon did not answer; see its log, and: eru net diag'
      return 1
    fi
  done
  printf '%s\\n' "\${answer#?}"
  return "\${answer%"\${answer#?}"}"
}
refusal() { printf '{"level":"error","msg":"eru: %s"}\\n' "$1"; }
# The engine shows what is in the runtime's log.
fail() {
  printf '%s\\n' "$1" >&2
  [ -z "$log" ] || printf '%s\\n' "$1" >>"$log"
  exit 1
}

case $verb in
eru-hook) answer=$(call "$2" "$id" "$settings" "$(cat)") || fail "$answer" ;;
delete)
  [ -e ${quoted(namespaces)}/"$id" ] || exec "$runtime" "$@"
  "$runtime" "$@"
  code=$?
  # A silent daemon finds out by itself later.
  call delete "$id" $code >/dev/null
  exit $code
  ;;
create)
  bundle=$PWD option=
  for word; do
    case $option in -b | --bundle) bundle=$word ;; esac
    case $word in --bundle=*) bundle=\${word#--bundle=} ;; -b=*) bundle=\${word#-b=} ;; esac
    option=$word
  done
  says() { LC_ALL=C grep -qs "$@" "$bundle/config.json" ${quoted(dockerContainers)}/"$id"/config.v2.json; }
  [ -e ${quoted(declared)}/"$id" ] || ${all ? 'true' : `says -E ${quoted(pattern)}`} || exec "$runtime" "$@"
  answer=$(call create "$id" "$bundle" "$settings") || {
    # Who only says that it wants no fixed address needs no daemon.
    ${all ? '' : `says '"eru[.]network/' || ! says -iE '"fixed-ip" *: *"(0|false)"' || exec "$runtime" "$@"`}
    fail "$answer"
  }
  [ "$answer" != pass ] || exec "$runtime" "$@"
  "$runtime" "$@"
  code=$?
  [ $code -eq 0 ] || call delete "$id" $code >/dev/null
  exit $code
  ;;
esac
`;
}

/** Which daemon a script asks, told by its `declared`; undefined for what is none of our scripts. */
export function declaredOf(script: string): string | undefined {
  const word = /^ {2}\[ -e ('(?:[^']|'\\'')*')\/"\$id" \] \|\| (?:true|says) /m.exec(script)?.[1];
  return word?.slice(1, -1).replaceAll(`'\\''`, "'");
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
