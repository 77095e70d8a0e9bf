# SPDX-License-Identifier: Apache-2.0
"""The machine: a network of its own, two cores, what processes used."""
import collections
import fcntl
import os
import re
import resource
import shutil
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass

NAMESPACE = "RINGGATE_BENCH_NAMESPACE"
TICK = os.sysconf("SC_CLK_TCK")
# The congestion control is fixed: some pace even loopback, which changes bulk by a factor.
SYSCTLS = {"ipv4/tcp_congestion_control": "reno", "core/somaxconn": "16384",
           "ipv4/tcp_max_syn_backlog": "16384", "ipv4/ip_local_port_range": "10000 65535"}


def enter_namespace():
    """Runs this program again in a network namespace, so that all traffic is loopback."""
    if os.environ.get(NAMESPACE) != str(os.getppid()):
        os.environ[NAMESPACE] = str(os.getpid())
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        sys.exit(subprocess.call(["unshare", "--net", *user, sys.executable, *sys.argv]))
    with socket.socket() as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sH14s", b"lo", 0x41, b""))  # up and running
    for name, value in SYSCTLS.items():
        try:
            with open("/proc/sys/net/" + name, "w") as f:
                f.write(value)
        except OSError as e:
            print(f"net/{name} stays as it is: {e.strerror}")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def cores():
    """For the peer, and for load and backends."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        sys.exit("the benchmark needs two cores: one for the peer, one for its load")
    return available[0], available[1]


def all_but(core):
    """The other cores, as taskset wants them."""
    return ",".join(str(c) for c in sorted(os.sched_getaffinity(0)) if c != core)


def pinned(core, command):
    """The command on that core, ahead of others of this machine when we may."""
    nice = ["nice", "-n", "-19"] if os.geteuid() == 0 else []
    return [*nice, "taskset", "-c", str(core), *map(str, command)]


def wait_port(port, process, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False


def read(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return ""


def stat_fields(pid):
    """The fields of /proc/PID/stat from the third on, or nothing."""
    return read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def family(pid):
    """A process and all it has started."""
    children = collections.defaultdict(list)
    for entry in filter(str.isdigit, os.listdir("/proc")):
        fields = stat_fields(entry)
        if fields:
            children[int(fields[1])].append(int(entry))
    found = [pid]
    for one in found:
        found.extend(children[one])
    return found


def task_ns(pid):
    """Nanoseconds on a core, of all threads: the scheduler's own accounting."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return 0
    stats = (read(f"/proc/{pid}/task/{t}/schedstat").split() for t in tasks)
    return sum(int(s[0]) for s in stats if s)


@dataclass
class Usage:
    """What some processes used until now, and how long the core was busy."""
    ns: int
    user: int
    system: int
    busy: float  # seconds
    at: float

    @classmethod
    def now(cls, pids, core):
        stats = [s for s in map(stat_fields, pids) if s]
        line = re.search(rf"^cpu{core} (.*)$", read("/proc/stat"), re.M).group(1)
        ticks = list(map(int, line.split()))
        return cls(sum(map(task_ns, pids)), sum(int(s[11]) for s in stats),
                   sum(int(s[12]) for s in stats),
                   (sum(ticks[:8]) - ticks[3] - ticks[4]) / TICK, time.monotonic())

    def since(self, before):
        """(CPU ns, part of it in user space, what others used of the core)."""
        ns = self.ns - before.ns
        user, system = self.user - before.user, self.system - before.system
        seconds = self.at - before.at
        foreign = max(0.0, self.busy - before.busy - ns / 1e9) / seconds
        return ns, user / max(1, user + system), foreign


def memory_kib(pids):
    """Private memory, and each process's share of what is shared."""
    found = (re.search(r"^Pss:\s+(\d+)", read(f"/proc/{p}/smaps_rollup"), re.M) for p in pids)
    return sum(int(f.group(1)) for f in found if f)


class SyscallCount:
    """System calls of processes while a command runs; output: a file to use."""

    def __init__(self, pids, output):
        self.perf, self.pids, self.output = shutil.which("perf"), pids, output
        self.possible = self.perf and os.path.isdir("/sys/kernel/tracing/events/raw_syscalls")

    def around(self, command):
        return [self.perf, "stat", "-x,", "-o", str(self.output), "-e", "raw_syscalls:sys_enter",
                "-p", ",".join(map(str, self.pids)), "--", *command]

    def count(self):
        found = re.search(r"^(\d+),", read(self.output), re.M)
        return int(found.group(1)) if found else 0


def describe():
    """What a reader has to know of the machine."""
    model = re.search(r"^model name\s*:\s*(.*)$", read("/proc/cpuinfo"), re.M)
    return {"date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "kernel": os.uname().release.split("-")[0], "cores": os.cpu_count(),
            "processor": model.group(1) if model else os.uname().machine}
