#!/bin/busybox sh
# The first process of a test VM: mounts, loads modules, runs the scenarios and powers off.
# From the kernel's command line: TRACER_KERNEL, TRACER_SHELL, TRACER_FILTER.
export PATH=/bin HOME=/root TERM=${TERM:-linux} TRACER_PACKAGE=/package

/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
chmod 1777 /tmp /dev/shm

hostname tracer-vm
ip link set lo up
while read -r module; do
    # A module and its parameters are words of their own.
    insmod /modules/$module
done </modules/order

if [ -n "$TRACER_SHELL" ]; then
    echo "kernel $(uname -r): tracer and tracer-tests are in PATH; poweroff -f (or Ctrl-A x) ends"
    setsid cttyhack sh
    poweroff -f
fi

results=/dev/ttyS1
stty -F $results raw
tracer-tests --vm ${TRACER_FILTER:+--filter "$TRACER_FILTER"} >$results 2>&1 </dev/null
echo "== exit status $?" >$results
echo "== dmesg" >$results
dmesg >$results
echo "== end" >$results
poweroff -f
