#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares ringgate with the peers that are installed, side by side on one machine.

The peer has one core to itself; the load client and the backends share the other and poll, so
that nobody pays for waking them. All peers of a scenario run at the same time and are measured in
turn, a slice of load each, round after round; what counts is the CPU time of an operation as a
ratio to the baseline of the same round. doc/performance.md has the method and its traps.
"""
import argparse
import json
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import host
import peers
import report
from scenarios import BESIDE, CHANGE, IDLE, QUICK, QUICK_PEERS, SCENARIOS, STORM, TRAINING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
import certs  # noqa: E402

PORTS = {"http": 9000, "echo": 9001, "bulk": 9002, "mtls": 9443}  # of the backends
PORT = 8000  # of the first peer
FOREIGN_MAX = 0.08  # of the peer's core used by others: the slice is taken again
LATENCIES = 3  # rounds in which latency is taken: a single one tells of the neighbours
METHOD = ("CPU time by the scheduler's accounting, one worker on a core of its own; polling "
          "client and backends on another; ratios within a round; median (least to most)")


class Site:
    """Where everything is: the programs, the cores, certificates, backends. poll: the backends
    never sleep."""

    def __init__(self, build, folder, ports, poll=True):
        self.dir = folder
        self.ringgate, self.load, self.backend = (
            build / p for p in ("ringgate", "t/bench/load", "t/bench/backend"))
        self.cores = host.cores()
        self.ports = ports
        self.authority = certs.Authority(folder, "ca")
        names = "DNS:h0.bench.test,DNS:up.bench.test,IP:127.0.0.1"
        self.pairs = {name: self.authority.issue(name, names,
                                                 key=name if name.startswith("rsa") else "ec")
                      for name in ("ec", "rsa", "rsa4096", "up", "client")}
        up = self.pairs["up"]
        numbers = [ports[k] for k in ("http", "echo", "bulk", "mtls")]
        options = ["-p"] if poll else []
        self.process = subprocess.Popen(host.pinned(self.cores[1], [
            self.backend, *options, *numbers, up.cert, up.key, self.authority.cert]))
        if not host.wait_port(self.ports["http"], self.process):
            sys.exit("the backends do not start")

    def bundle(self, pair):
        """Certificate and key in one file, for those that want it so."""
        path = pair.cert.with_suffix(".bundle")
        path.write_text(pair.cert_text + pair.key_text)
        return path

    def stop(self):
        self.process.kill()
        self.process.wait()


def load_command(site, peer, seconds, rate=0):
    s = peer.scenario
    options = ["-c", s.conns, "-t", seconds, *s.load]
    options += ["-s"] if s.tls else []
    options += ["-n", s.hosts] if s.hosts else []
    options += ["-r", rate] if rate else ["-p"]
    return host.pinned(site.cores[1], [site.load, *options, s.mode, peer.port, s.path])


class Load:
    """A run of the load client: ready() when all connections are up, result() begins and tells;
    the connections stay until the block is left."""

    def __init__(self, command):
        self.command = command

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return self

    def __exit__(self, *_):
        self.process.communicate()

    def line(self):
        found = self.process.stdout.readline()
        if not found:
            why = self.process.stderr.read().strip().splitlines()
            raise RuntimeError(why[-1] if why else "the load failed")
        return found

    def ready(self):
        return int(self.line().split()[1])

    def begin(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def result(self):
        self.begin()
        return json.loads(self.line())


class Slow:
    """Clients of a peer that ask for 1 MiB and read it at about 10 KiB a second, while the block
    runs."""

    def __init__(self, peer):
        self.peer, self.over, self.socks = peer, threading.Event(), []

    def connect(self):
        s = self.peer.scenario
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", self.peer.port))
        if s.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            sock = context.wrap_socket(sock)
        sock.sendall(b"GET /1m HTTP/1.1\r\nHost: h0.bench.test\r\n\r\n")
        return sock

    def run(self):
        while not self.over.wait(0.1):
            for sock in self.socks:
                try:
                    sock.recv(1024)
                except OSError:
                    pass  # it is one that does not read any more, then

    def __enter__(self):
        self.socks = [self.connect() for _ in range(self.peer.scenario.slow)]
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        for sock in self.socks:
            sock.close()


def load(site, peer, seconds, rate=0):
    with Load(load_command(site, peer, seconds, rate)) as running:
        running.ready()
        return running.result()


def operations(peer, got):
    return got["bytes"] / 2**20 if peer.scenario.unit == "MiB" else got["done"]


def slice_of(site, peer, args):
    """One measurement; again while somebody else was on the core."""
    for _ in range(1 if args.quick else 3):
        pids = peer.pids()
        with Slow(peer), Load(load_command(site, peer, args.seconds)) as running:
            running.ready()
            before = host.Usage.now(pids, site.cores[0])
            got = running.result()
            ns, user, foreign = host.Usage.now(pids, site.cores[0]).since(before)
        if foreign < FOREIGN_MAX:
            break
    done = operations(peer, got)
    if not done:
        raise RuntimeError(f"nothing was answered, {got['failed']} failed")
    return {"us": ns / 1e3 / done, "user": user, "foreign": foreign, "failed": got["failed"],
            "per_second": done / got["seconds"]}


def start_peers(scenario, site, wanted):
    """Those that run, and why the others do not."""
    running, skipped = [], {}
    for i, name in enumerate(n for n in scenario.peers if not wanted or n in wanted):
        try:
            running.append(peers.Peer(name, scenario, site, PORT + i))
        except peers.Unable as e:
            skipped[name] = str(e)
    return running, skipped


def latency(site, peer):
    """(p50, p99) in microseconds at the scenario's rate."""
    with Slow(peer):
        got = load(site, peer, 1.5, peer.scenario.rate)
    return got["p50"], got["p99"]


def extras(site, peer, seconds):
    """What one slice is enough for: system calls, memory."""
    found = {"mib": host.memory_kib(peer.pids()) / 1024}
    calls = host.SyscallCount(peer.pids(), site.dir / "perf")
    if calls.possible:
        with Load(calls.around(load_command(site, peer, seconds))) as running:
            running.ready()
            got = running.result()
        found["syscalls"] = calls.count() / max(1, operations(peer, got))
    return found


def progress(text):
    if sys.stdout.isatty():
        print(f"\r{text:40}\r", end="", flush=True)


def run_scenario(scenario, site, args):
    running, skipped = start_peers(scenario, site, args.peers)
    rounds, more = {p.name: [] for p in running}, {}
    latencies = {p.name: [] for p in running if scenario.rate and not args.quick}
    try:
        for number in range(-1, args.rounds):  # the first warms pools, heaps and caches
            for peer in list(running):
                try:
                    one = slice_of(site, peer, args)
                    if number >= 0:
                        rounds[peer.name].append(one)
                    if number >= args.rounds - LATENCIES and peer.name in latencies:
                        latencies[peer.name].append(latency(site, peer))
                    if number == args.rounds - 1 and not args.quick:
                        more[peer.name] = extras(site, peer, args.seconds)
                except RuntimeError as e:
                    skipped[peer.name] = str(e)
                    running.remove(peer)
                    peer.stop()
                    rounds.pop(peer.name)
            progress(f"{scenario.name}: round {number + 1} of {args.rounds}")
    finally:
        for peer in running:
            peer.stop()
    rows = report.summary(rounds, scenario.baseline)
    for name, row in rows.items():
        row.update(more.get(name, {}))
        if latencies.get(name):
            row.update(zip(("p50", "p99"), map(statistics.median, zip(*latencies[name]))))
    progress("")
    print(f"{scenario.name}: " + ", ".join(
        f"{n} {report.number(r['us'])}" + (f" ({r['ratio']:.2f})" if r["ratio"] else "")
        for n, r in rows.items()) + f" us a {scenario.unit}", flush=True)
    return {"peers": rows, "rounds": rounds, "skipped": skipped}


def one_by_one(scenario, site, wanted, measure):
    """{peer: measure(peer)}, each alone; and why others are left out."""
    rows, skipped = {}, {}
    for name in (n for n in scenario.peers if not wanted or n in wanted):
        peer = None
        try:
            begin = time.monotonic()
            peer = peers.Peer(name, scenario, site, PORT)
            rows[name] = measure(peer, time.monotonic() - begin)
        except (peers.Unable, RuntimeError, OSError) as e:
            skipped[name] = str(e)
        finally:
            if peer:
                peer.stop()
    return rows, skipped


def idle_memory(scenario, site, wanted, conns):
    """KiB of a connection that made one request and is idle: of one more, when there are some."""

    def idle(peer, count):
        options = [*scenario.load, *(["-s"] if scenario.tls else [])]
        command = [site.load, "-c", count, *options, "idle", peer.port, scenario.path]
        return Load(host.pinned(site.cores[1], command))

    def settled(peer, running, count):
        if running.ready() < count:
            raise RuntimeError("not all connections were answered")
        time.sleep(1.5)  # what a peer kept ready for the rush is given back
        return host.memory_kib(peer.pids())

    def measure(peer, _):
        load(site, peer, 0.5)
        with idle(peer, conns // 8) as some:
            before = settled(peer, some, conns // 8)
            with idle(peer, conns) as more:
                after = settled(peer, more, conns)
        return [(after - before) / conns, before / 1024]

    rows, skipped = one_by_one(scenario, site, wanted, measure)
    print(f"{scenario.name}: " + ", ".join(f"{n} {r[0]:.2f} KiB" for n, r in rows.items()))
    return {"title": f"{scenario.title} ({conns})", "rows": rows, "skipped": skipped,
            "head": ["KiB a connection", "MiB before"]}


def beside_storm(scenario, site, wanted, seconds=3):
    """R6: latency alone and beside the storm, in milliseconds."""

    def measure(peer, _):
        alone = load(site, peer, seconds, scenario.rate)
        storm = host.pinned(site.cores[1], [site.load, "-c", STORM, "-t", seconds, "-s",
                                            "handshake", peer.port, "/0"])
        with Slow(peer), Load(storm) as others, \
                Load(load_command(site, peer, seconds, scenario.rate)) as running:
            others.ready()
            running.ready()
            others.begin()
            beside = running.result()
            shaken = json.loads(others.line())
        return [*(got[q] / 1e3 for got in (alone, beside) for q in ("p50", "p99")),
                shaken["done"] / shaken["seconds"]]

    rows, skipped = one_by_one(scenario, site, wanted, measure)
    print(f"{scenario.name}: " + ", ".join(f"{n} p99 {r[3]:.3g} ms" for n, r in rows.items()))
    return {"title": scenario.title, "rows": rows, "skipped": skipped,
            "head": ["p50 ms alone", "p99 ms alone", "p50 ms", "p99 ms", "handshakes a second"]}


def answers(port, name):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/p0/0", headers={"Host": name})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def change_time(scenario, site, wanted):
    """R3: seconds from the change to the first right answer."""

    def measure(peer, started):
        cpu = sum(map(host.task_ns, peer.pids()))
        begin = peer.change(scenario.hosts + 1)
        while not answers(peer.port, f"h{scenario.hosts}.bench.test"):
            if time.monotonic() > begin + 60:
                raise RuntimeError("the change does not arrive")
        took = time.monotonic() - begin
        time.sleep(0.5)
        return [took, (sum(map(host.task_ns, peer.pids())) - cpu) / 1e9, started,
                host.memory_kib(peer.pids()) / 1024]

    rows, skipped = one_by_one(scenario, site, wanted, measure)
    print(f"{scenario.name}: " + ", ".join(f"{n} {r[0]:.3f} s" for n, r in rows.items()))
    return {"title": scenario.title, "rows": rows, "skipped": skipped,
            "head": ["s until it answers", "s CPU", "s to start", "MiB after"]}


def train(site):
    """Load of all kinds, for a build that counts what it runs (make pgo)."""
    for scenario in (SCENARIOS[n] for n in TRAINING):
        for name in ("ringgate", "ringgate:epoll"):
            peer = peers.Peer(name, scenario, site, PORT)
            try:
                print(f"{scenario.name} {name}: {operations(peer, load(site, peer, 1)):.0f} "
                      f"{scenario.unit}s", flush=True)
            finally:
                peer.stop()  # which writes what was counted


def versions(site):
    found = {}
    for program in ("nginx", "haproxy", "h2o", "nghttpx", "hitch", "envoy"):
        path = shutil.which(program) or shutil.which(program, path="/usr/sbin")
        if path:
            found[program] = peers.version(program, path)
    found["ringgate"] = peers.version("ringgate", site.ringgate)
    return found


def arguments():
    parser = argparse.ArgumentParser(description="Compares ringgate with other proxies.")
    parser.add_argument("--build", type=Path, default=Path.cwd(), help="where it was built")
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    parser.add_argument("--quick", action="store_true", help="less than a minute")
    parser.add_argument("--train", action="store_true", help="only load for a counting build")
    parser.add_argument("--scenarios", help="S1,S2; also S8 (idle memory), R3 (changes), "
                        "R6 (handshake storm)")
    parser.add_argument("--peers", help="nginx,ringgate,ringgate:epoll")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of load in a slice")
    args = parser.parse_args()
    args.rounds = args.rounds or (3 if args.quick else 5)
    args.seconds = args.seconds or (0.25 if args.quick else 1.0)
    args.peers = args.peers.split(",") if args.peers else (QUICK_PEERS if args.quick else ())
    names = args.scenarios.split(",") if args.scenarios else (
        QUICK if args.quick else [*SCENARIOS, "S8", "R3", "R6"])
    unknown = set(names) - set(SCENARIOS) - {"S8", "R3", "R6"}
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    args.scenarios = names
    return args


def main():
    args = arguments()
    host.enter_namespace()
    folder = Path(tempfile.mkdtemp(prefix="ringgate-bench."))
    folder.chmod(0o755)  # peers that drop their rights read it, too
    site = Site(args.build.resolve(), folder, PORTS)
    results = {"machine": host.describe(), "versions": versions(site), "method": METHOD,
               "scenarios": {}, "others": {}}
    chosen = [SCENARIOS[n] for n in args.scenarios if n in SCENARIOS]
    try:
        if args.train:
            train(site)
            return
        for scenario in chosen:
            results["scenarios"][scenario.name] = run_scenario(scenario, site, args)
            report.write(args.out, results, chosen)
        for scenario in IDLE if "S8" in args.scenarios else ():
            results["others"][scenario.name] = idle_memory(scenario, site, args.peers, 8000)
        if "R3" in args.scenarios:
            results["others"]["R3"] = change_time(CHANGE, site, args.peers)
        if "R6" in args.scenarios:
            results["others"]["R6"] = beside_storm(BESIDE, site, args.peers)
        report.write(args.out, results, chosen)
    finally:
        site.stop()
        shutil.rmtree(folder, ignore_errors=True)
    skipped = {f"{n}: {w}" for r in [*results["scenarios"].values(), *results["others"].values()]
               for n, w in r["skipped"].items()}
    for line in sorted(skipped):
        print("left out,", line)
    print(f"results in {args.out}: results.md, results.json, pictures")


if __name__ == "__main__":
    main()
