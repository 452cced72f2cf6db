#!/usr/bin/env bash
# A Slurm cluster of one node, with all its files in DIR: `slurm.sh start DIR CONTROLLER_PORT NODE_PORT`,
# `slurm.sh stop DIR`. Set SLURM_CONF=DIR/slurm.conf to use it. Needs root, and Debian's slurm-wlm and munge.
set -euo pipefail
action=$1
dir=$2

case $action in
start)
    host=$(hostname -s)
    mkdir -p "$dir/state" "$dir/spool"
    head -c 1024 /dev/urandom >"$dir/munge.key"
    chmod 0400 "$dir/munge.key"
    cat >"$dir/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$3
SlurmdPort=$4
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobCompType=jobcomp/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=20
MinJobAge=300
SchedulerParameters=sched_interval=2,bf_interval=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    # --force: munged otherwise rejects a temporary folder that others can write to.
    munged --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" --pid-file="$dir/munged.pid" \
        --log-file="$dir/munged.log" --seed-file="$dir/munged.seed" --num-threads=2
    slurmctld -f "$dir/slurm.conf" -c
    slurmd -f "$dir/slurm.conf" -c
    for _ in $(seq 100); do
        if [ "$(SLURM_CONF=$dir/slurm.conf sinfo --noheader --format=%T 2>/dev/null)" = idle ]; then
            exit 0
        fi
        sleep 0.2
    done
    echo "the node does not become idle" >&2
    tail -n 20 "$dir"/*.log >&2
    exit 1
    ;;
stop)
    for name in slurmd slurmctld munged; do
        if [ -s "$dir/$name.pid" ]; then
            kill "$(cat "$dir/$name.pid")" 2>/dev/null || true
        fi
    done
    ;;
esac
