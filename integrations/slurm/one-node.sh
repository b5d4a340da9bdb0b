#!/bin/bash
# Runs a command with a Slurm of its own, which has this machine as its only node and ends with the command.
#
#     integrations/slurm/one-node.sh sbatch --wait …
#
# For trying out the script of the array where there is no cluster. Needs root and Debian's packages slurm-wlm and munge.
set -euo pipefail
folder=$(mktemp -d -t one-node-XXXXXX)
chmod 755 "$folder"
export SLURM_CONF="$folder/slurm.conf"
daemons=()
stop() {
    for daemon in "${daemons[@]}"; do kill "$daemon" 2>/dev/null || true; done
    for daemon in "${daemons[@]}"; do wait "$daemon" 2>/dev/null || true; done
    rm -rf "$folder"
}
trap stop EXIT
say_why() {
    tail -n 20 "$folder"/*.log >&2
    exit 1
}

# Two ports that nobody listens at.
read -r port node_port < <(python3 -c 'import socket
a, b = socket.socket(), socket.socket()
a.bind(("127.0.0.1", 0)); b.bind(("127.0.0.1", 0))
print(a.getsockname()[1], b.getsockname()[1])')
mkdir "$folder/state" "$folder/spool"
(umask 077 && head -c 1024 /dev/urandom >"$folder/munge.key")
name=$(hostname -s)
cat >"$SLURM_CONF" <<CONF
ClusterName=one-node
SlurmctldHost=$name(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$node_port
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
NodeName=$name NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(($(getconf _PHYS_PAGES) / 1024 * $(getconf PAGESIZE) / 1024)) State=UNKNOWN
PartitionName=all Nodes=$name Default=YES MaxTime=INFINITE State=UP
CONF

munged --foreground --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munge.pid" \
    --log-file="$folder/munge-own.log" --seed-file="$folder/munge.seed" >"$folder/munge.log" 2>&1 &
daemons+=($!)
for _ in $(seq 100); do [ -S "$folder/munge.socket" ] && break; sleep 0.1; done
slurmctld -D -f "$SLURM_CONF" >"$folder/slurmctld.log" 2>&1 &
daemons+=($!)
slurmd -D -f "$SLURM_CONF" >"$folder/slurmd.log" 2>&1 &
daemons+=($!)
for _ in $(seq 300); do
    [ "$(sinfo --noheader --format=%t 2>/dev/null || true)" = idle ] && break
    sleep 0.1
done
[ "$(sinfo --noheader --format=%t 2>/dev/null || true)" = idle ] || say_why
"$@"
