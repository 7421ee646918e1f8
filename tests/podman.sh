#!/bin/sh
# Podman's Docker-compatible service on a private machine. It puts containers below the root of control groups, and CNI plugins
# keep the addresses that they have given under /var/lib: both are the machine's own here.
# usage: podman.sh FOLDER CGROUP, run by `unshare --mount --propagation private`
set -eu
folder=$1
group=$2
tree=/sys/fs/cgroup

mkdir -p /var/lib/cni
mount --bind "$folder/cni" /var/lib/cni

# One hierarchy of version 2, or several of version 1.
if [ -f $tree/cgroup.controllers ]; then
  hierarchies=$tree
  for controller in $(cat $tree/cgroup.controllers); do echo "+$controller" >$tree/cgroup.subtree_control; done
else
  hierarchies=$(dirname $tree/*/cgroup.procs)
fi
for hierarchy in $hierarchies; do
  mkdir -p "$hierarchy/$group"
  # A group of version 1 takes nobody in before it has cores.
  for file in cpuset.cpus cpuset.mems; do
    [ $hierarchy = $tree ] || [ ! -f "$hierarchy/$file" ] || cat "$hierarchy/$file" >"$hierarchy/$group/$file"
  done
  echo $$ >"$hierarchy/$group/cgroup.procs"
  mount --bind "$hierarchy/$group" "$hierarchy"
done

# The namespace of control groups begins where this process is now. It does not stay there: a group of version 2 with processes
# of its own gives its children no controllers.
exec unshare --cgroup sh -euc '
  [ ! -f /sys/fs/cgroup/cgroup.controllers ] || echo $$ >/sys/fs/cgroup/daemons/cgroup.procs
  exec "$@"
' sh podman --tmpdir "$folder/tmp" --runtime runc --cgroup-manager cgroupfs \
  system service --time 0 "unix://$folder/podman.sock"
