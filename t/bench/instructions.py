#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions per request of the ringgate process, against instructions.json.

valgrind counts what the worker executes in user space for requests on one connection, one at a
time, on the epoll engine (valgrind knows no io_uring). Instructions of the program itself must
not grow by more than 3 % without a new baseline (--write) in the same commit; those of libraries,
whose versions differ, are only told. A compiler without a baseline is told, and passes.
"""
import argparse
import collections
import dataclasses
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import bench
import peers
from scenarios import SCENARIOS

GROWTH_MAX = 0.03
RUNS_AGAIN = 3
SECONDS = 1.5
BASELINE = Path(__file__).with_suffix(".json")
# Each: the scenario, what is changed in it, options of ringgate (the last of an option counts).
ONE = {
    "S1": ("S1", {}, ()),
    "S1 logged": ("S1", {}, ("--access-log", "/dev/null", "--access-log-format", "json")),
    "S2": ("S2", {}, ()),
    "S3": ("S3", {"load": ("-m", "1")}, ()),
}


class Traced(peers.Peer):
    """ringgate under callgrind."""

    def __init__(self, scenario, site, options):
        self.options = options
        super().__init__("ringgate:epoll", scenario, site, free_ports(1)[0])

    def ringgate(self, hosts):
        return [shutil.which("valgrind"), "--tool=callgrind", "--quiet",
                f"--callgrind-out-file={self.dir}/callgrind", *super().ringgate(hosts),
                *self.options]

    def control(self, option):
        pid = next(p for p in self.pids() if "callgrind" in bench.host.read(f"/proc/{p}/comm")
                   or "valgrind" in bench.host.read(f"/proc/{p}/cmdline"))
        subprocess.run(["callgrind_control", option, str(pid)], check=True, timeout=60,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def costs(self):
        """Instructions by object since the counters were zeroed."""
        self.control("--dump")
        dump = max(self.dir.glob("callgrind.*"), key=lambda p: int(p.suffix[1:]))
        names, costs, current, skip = {}, collections.Counter(), "", False
        for line in dump.read_text().splitlines():
            thing = re.match(r"(c?)ob=(\(\d+\))(.*)", line)  # the name only the first time
            if thing:
                called, number, path = thing.groups()
                name = names.setdefault(number, Path(path.strip()).name)
                current = current if called else name
            elif line.startswith("calls="):
                skip = True  # the next line is what the called function cost
            elif re.match(r"[\d+*-]", line):
                costs[current] += 0 if skip else int(line.split()[-1])
                skip = False
        return costs


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def measure(name, site):
    """(of the program, of libraries) for one request."""
    base, changes, options = ONE[name]
    scenario = dataclasses.replace(SCENARIOS[base], conns=1, **changes)
    peer = Traced(scenario, site, options)
    try:
        bench.load(site, peer, 0.5)
        with bench.Load(bench.load_command(site, peer, SECONDS)) as running:
            running.ready()
            peer.control("--zero")
            done = running.result()["done"]
            costs = peer.costs()
    finally:
        peer.stop()
    own = costs.pop("ringgate", 0)
    if not own or not done:
        raise RuntimeError("nothing was counted")
    return own / done, sum(costs.values()) / done


def measure_calmly(name, site, runs, was):
    """Who waits for the processor takes more turns for the same requests, never fewer: what seems
    to have grown is measured again."""
    found = [measure(name, site) for _ in range(runs)]
    while was and min(found)[0] > was * (1 + GROWTH_MAX) and len(found) < runs + RUNS_AGAIN:
        found.append(measure(name, site))
    return found


def key(compiler):
    run = subprocess.run([*compiler.split(), "--version"], capture_output=True, text=True)
    first = run.stdout.splitlines()[0]
    family = "clang" if "clang" in first else "gcc"
    major = re.search(r"(\d+)\.\d+", re.sub(r"\(.*?\)", "", first)).group(1)
    machine = subprocess.run(["uname", "-m"], capture_output=True, text=True).stdout.strip()
    return f"{family} {major} {machine}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=Path.cwd())
    parser.add_argument("--compiler", default="cc")
    parser.add_argument("--runs", type=int, default=1, help="the least counts")
    parser.add_argument("--write", action="store_true", help="these are the baseline now")
    args = parser.parse_args()
    if not shutil.which("valgrind"):
        print("left out: valgrind is not installed")
        return 0
    baselines = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    known, found, grown, broken = baselines.get(key(args.compiler), {}), {}, [], []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        ports = dict(zip(bench.PORTS, free_ports(len(bench.PORTS))))
        site = bench.Site(args.build.resolve(), Path(folder), ports, poll=False)
        try:
            for name in ONE:
                try:
                    was = known.get(name)
                    runs = measure_calmly(name, site, args.runs, was)
                except RuntimeError as e:
                    print(f"{name}: not measured: {e}")
                    broken += [name] if name in known else []
                    continue
                own = [r[0] for r in runs]
                found[name] = round(min(own))
                growth = found[name] / was - 1 if was else 0
                print(f"{name}: {found[name]} instructions a request ({min(own):.0f} to "
                      f"{max(own):.0f}) and {runs[0][1]:.0f} of libraries; "
                      + (f"{growth:+.1%} against {was}" if was else "no baseline"), flush=True)
                if growth > GROWTH_MAX:
                    grown.append(name)
        finally:
            site.stop()
    if args.write:
        baselines[key(args.compiler)] = found
        BASELINE.write_text(json.dumps(baselines, indent=1, sort_keys=True) + "\n")
    elif grown:
        print(f"{', '.join(grown)} grew by more than {GROWTH_MAX:.0%}: make it cheaper, or say why "
              f"and run {Path(__file__).name} --write")
        return 1
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
