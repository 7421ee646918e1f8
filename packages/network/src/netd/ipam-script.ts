import path from 'node:path';

import { supportedVersions } from '../cni/version.ts';

/** Where a daemon with this socket takes calls of the IPAM plugin. */
export function mailboxFolder(socket: string): string {
  return path.join(path.dirname(socket), 'ipam');
}

/**
 * The CNI IPAM plugin `eru-ipam`, to be put into a folder of plugins. A shell script, because a plugin is a process per call
 * and a Node process takes 30 ms to begin (network.md section 6.6); and a shell cannot speak to a socket, so it leaves its
 * call in a file, says so in one FIFO, and reads the answer from another (`mailbox.ts`).
 */
export function ipamScript(socket: string): string {
  return `#!/bin/sh
# CNI IPAM plugin: passes its call to the network daemon (eru netd), and prints what it answers. Made by: eru net plugin
PATH=\${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
folder='${mailboxFolder(socket).replaceAll("'", "'\\''")}'
seconds=\${ERU_IPAM_SECONDS:-60}
fail() { printf '{"cniVersion":"1.0.0","code":%s,"msg":"%s"}\\n' "$1" "$2"; exit 1; }
case \${CNI_COMMAND:-} in
VERSION) printf '{"cniVersion":"1.1.0","supportedVersions":${JSON.stringify(supportedVersions)}}\\n'; exit 0 ;;
STATUS) silent=50 ;;
ADD | DEL | CHECK | GC) silent=11 ;;
*) fail 4 'CNI_COMMAND: write ADD, DEL, CHECK, GC, STATUS or VERSION' ;;
esac
case \${CNI_CONTAINERID:-} in *[!A-Za-z0-9_.-]*) fail 4 'CNI_CONTAINERID: only letters, digits, _, . and - are allowed' ;; esac
{ read -r pid <"$folder/pid" && kill -0 "$pid"; } 2>/dev/null || fail $silent "no network daemon answers in $folder; start one with: eru netd"
call=$folder/$$-\${CNI_CONTAINERID:-none}
umask 077
mkfifo "$call.reply" || fail 5 "$folder cannot be written to"
{ printf '%s\\n' "$CNI_COMMAND" "\${CNI_CONTAINERID:-}" "\${CNI_IFNAME:-}" "\${CNI_ARGS:-}"; cat; } >"$call.call"
# Opened for reading as well, so that nobody waits here for a daemon that has just died.
echo "\${call##*/}" 1<>"$folder/calls"
answer=$(timeout "$seconds" cat "$call.reply") || { rm -f "$call.call" "$call.reply"; fail $silent "the network daemon did not answer within $seconds s"; }
printf '%s\\n' "\${answer#?}"
exit "\${answer%"\${answer#?}"}"
`;
}
