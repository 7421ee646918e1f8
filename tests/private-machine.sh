#!/bin/sh
# Holds the network and mount namespaces that a daemon under test lives in, and ends all of it when its input ends:
# so nothing is left, however the test that holds the other end of the pipe has ended.
# usage: private-machine.sh FOLDER NAME, run by `unshare --net --mount --propagation private`
set -u
folder=$1
name=$2

# Daemons keep global files there (shim sockets, locks); here they are this machine's own.
mount -t tmpfs tmpfs /run
ip link set lo up
echo ready

cat >/dev/null

groups() { find /sys/fs/cgroup -maxdepth 3 -type d -name "$name" 2>/dev/null; }
# What is paused does not die before it is thawed.
for group in $(groups); do
  find "$group" -name freezer.state -exec sh -c 'echo THAWED >"$1"' sh {} \; 2>/dev/null
  find "$group" -name cgroup.freeze -exec sh -c 'echo 0 >"$1"' sh {} \; 2>/dev/null
done
rounds=0
while [ $rounds -lt 200 ]; do
  pids=$(for group in $(groups); do find "$group" -name cgroup.procs -exec cat {} +; done 2>/dev/null | sort -un)
  [ -z "$pids" ] && break
  kill -KILL $pids 2>/dev/null
  sleep 0.05
  rounds=$((rounds + 1))
done
for group in $(groups); do find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null; done
sed -n "s|^[^ ]* \($folder/[^ ]*\) .*|\1|p" /proc/self/mounts | sort -r | while read -r mount; do umount -l "$mount"; done
rm -rf "$folder"
