# SPDX-License-Identifier: Apache-2.0
"""The process: start, health, drain, logs, demo."""
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import manifests as m
from origin import http_answer, read_request
from process import RINGGATE
from wire import Stream, connect, free_port, request, wait_until


def objects(gateway, origin):
    return [m.gateway([m.listener("http", gateway.port)]),
            m.http_route("r", [m.rule("/", ["one"])]), *m.service("one", origin.port)]


@pytest.fixture
def served(gateways, origins):
    gateway, origin = gateways(), origins()
    gateway.write(objects(gateway, origin))
    return gateway.start()


def run(*arguments, **more):
    return subprocess.run([RINGGATE, *arguments], capture_output=True, text=True, check=False,
                          timeout=60, **more)


@pytest.mark.parametrize("word", ["version", "--version"])
def test_version(word):
    result = run(word)
    assert result.returncode == 0 and re.match(r"ringgate \d+\.\d+\.\d+\n", result.stdout)


def test_help_and_usage():
    assert run("--help").returncode == 0 and "--config" in run("--help").stdout
    for arguments in ([], ["frobnicate"], ["run", "--workers", "0"], ["run", "--io", "kqueue"],
                      ["run", "--set", "idle_timeout=soon"], ["run", "--set", "nonsense=1"],
                      ["run", "--config"], ["run", "--what"], ["demo", "--port", "x"]):
        result = run(*arguments)
        assert result.returncode == 2 and result.stderr, arguments


@pytest.mark.parametrize("reader", ["pipe", "socket"])
def test_access_log_that_nobody_reads(gateways, origins, reader):
    """Requests and the end are as if there were no log; what does not fit is lost and counted."""
    ours, theirs = os.pipe() if reader == "pipe" else [s.detach() for s in socket.socketpair()]
    gateway, origin = gateways(), origins()
    gateway.write(objects(gateway, origin))
    command = gateway.command()
    command[command.index("--access-log") + 1] = "-"
    gateway.process = subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL)
    gateway.error_path.touch()
    try:
        wait_until(gateway.is_ready, "readiness")
        with connect(gateway.port) as s:
            for i in range(900):
                assert request(gateway.port, f"/{'x' * 900}", sock=s).status == 200
        if reader == "pipe":  # a pipe holds 64 KiB, so the writer waits
            time.sleep(0.5)
        gateway.stop()  # fails when it takes 20 s
        data = os.read(ours, 1 << 16)
        assert b"/xxxx" in data.split(b"\n")[0]
    finally:
        os.close(ours)
        os.close(theirs)


def test_settings_file(gateways, origins, tmp_path):
    """File, then environment, then --set."""
    settings = tmp_path / "ringgate.conf"
    settings.write_text("# ours\nrequests_per_connection_max = 2\nfields_max = 9\n"
                        "idle_timeout = 7s\n")
    gateway, origin = gateways(settings={"fields_max": "10"}), origins()
    gateway.arguments = ["--settings", str(settings)]
    gateway.environment = {"RINGGATE_REQUESTS_PER_CONNECTION_MAX": "3", "RINGGATE_FIELDS_MAX": "8"}
    gateway.write(objects(gateway, origin))
    gateway.start()
    with connect(gateway.port) as s:
        got = [request(gateway.port, "/", sock=s).get("connection") for _ in range(3)]
    assert got == [None, None, "close"]
    fields = [(f"X-{i}", "v") for i in range(8)]  # with Host and Connection ten
    assert request(gateway.port, "/", fields=fields).status == 200
    assert request(gateway.port, "/", fields=fields + [("X", "v")]).status == 431


def test_wrong_settings(tmp_path):
    settings = tmp_path / "ringgate.conf"
    settings.write_text("fields_max = 50\nidle_timeot = 7s\nfields_max = 0\n"
                        "dns_servers = nowhere\n")
    good = tmp_path / "good.yaml"
    good.write_text(m.document([m.thing("v1", "Namespace", "n")]))
    for arguments, output in ((["run", "--config", good], 1), (["check", good], 0)):
        result = run(arguments[0], "--settings", str(settings), *map(str, arguments[1:]))
        text = (result.stdout, result.stderr)[output]
        assert result.returncode == 78, text
        assert f"{settings}:2:1: error[RG024] " in text and "did you mean \"idle_timeout\"?" in text
        assert f"{settings}:3:1: error[RG024] " in text and "line 1 already" in text
        assert f"{settings}:4:15: error[RG024] " in text and "dns_servers" in text
    for arguments in (["check", "--set", "dns_servers=nowhere", good],
                      ["run", "--set", "trusted_cidrs=10.0.0.1/8", "--config", good],
                      ["check", "--set", "log_level=loud", good]):
        result = run(*map(str, arguments))
        assert result.returncode == 2 and arguments[2].split("=")[0] in result.stderr
    environment = {**os.environ, "RINGGATE_IDLE_TIMEOUT": "soon", "RINGGATE_IDLE_TIMOUT": "5s",
                   "RINGGATE_TCP_CONGESTION": "nosuch"}
    for arguments, output in ((["run", "--config", good], 1), (["check", good], 0)):
        result = run(*map(str, arguments), env=environment)
        text = (result.stdout, result.stderr)[output]
        assert result.returncode == 78, text
        assert "error[RG024] environment: RINGGATE_IDLE_TIMEOUT: " in text
        assert 'setting tcp_congestion: the kernel has no "nosuch"' in text
        assert "warning[RG028] environment: RINGGATE_IDLE_TIMOUT: " in text
        assert "did you mean RINGGATE_IDLE_TIMEOUT?" in text
    result = run("check", "--settings", str(tmp_path / "missing"), str(good))
    assert result.returncode == 78 and "no such file" in result.stdout


def test_health_and_metrics(served):
    assert served.get("/healthz/live")[0] == 200 and served.get("/healthz/ready")[0] == 200
    assert served.get("/nothing")[0] == 404
    request(served.port, "/")
    status, text = served.get("/metrics")
    assert status == 200
    names = set()
    for line in text.splitlines():
        assert re.match(r'# (HELP|TYPE) \w+ .|\w+(\{[^{}]*\})? \S+$', line), line
        names.add(re.match(r"#? ?(?:HELP |TYPE )?(\w+)", line).group(1))
    assert {"ringgate_build_info", "ringgate_downstream_connections_total",
            "ringgate_http_requests_total", "ringgate_config_generation"} <= names


def test_not_ready_before_a_configuration(gateways):
    gateway = gateways()
    gateway.start(ready=False)
    wait_until(lambda: gateway.process.poll() is not None or gateway.health("live"))
    if gateway.process.poll() is None:
        assert gateway.health("live") == 200
        assert gateway.health("ready") == 503


def test_drain_lets_requests_finish(gateways, origins):
    release, begun = threading.Event(), threading.Event()

    def slow(sock, _origin):
        stream = Stream(sock)
        while True:
            read_request(stream)
            begun.set()
            release.wait(20)
            http_answer(sock, b"late")

    gateway = gateways(settings={"drain_timeout": "20s"}, workers=1)
    origin = origins(slow)
    gateway.write(objects(gateway, origin))
    gateway.start()
    with connect(gateway.port) as busy, connect(gateway.port) as idle:
        busy.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert begun.wait(20)
        gateway.signal(signal.SIGTERM)
        assert idle.recv(1) == b""  # idle connections end at once
        release.set()
        response = Stream(busy).response()
        assert response.body == b"late" and response.get("connection") == "close"
    assert gateway.wait() == 0


def test_drain_ends_in_time(gateways, origins):
    def silent(sock, origin):
        read_request(Stream(sock))
        origin.stop.wait(30)

    gateway, origin = gateways(settings={"drain_timeout": "300ms"}), origins(silent)
    gateway.write(objects(gateway, origin))
    gateway.start()
    with connect(gateway.port) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: origin.data, "the request at the origin")
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0
    assert gateway.log(path="/")["response_flags"] == "DD"


def test_second_signal_ends_at_once(gateways, origins):
    gateway = gateways(settings={"drain_timeout": "60s", "drain_delay": "60s"})
    gateway.write(objects(gateway, origins()))
    gateway.start()
    gateway.signal(signal.SIGTERM)
    wait_until(lambda: gateway.get("/healthz/ready")[0] == 503, "not ready any more")
    assert request(gateway.port, "/").status == 200  # still accepting during drain_delay
    gateway.signal(signal.SIGTERM)
    assert gateway.wait() == 0


def test_log_file_is_reopened(served):
    request(served.port, "/before")
    served.log(path="/before")
    moved = served.folder / "access.log.1"
    served.log_path.rename(moved)
    served.signal(signal.SIGUSR1)
    wait_until(lambda: request(served.port, "/after") and served.log_path.exists(), "a new file")
    served.log(path="/after")
    assert "/before" in moved.read_text()


def test_access_log_that_cannot_be_written(gateways, origins):
    gateway, origin = gateways(), origins()
    gateway.log_path = "/dev/full"
    gateway.write(objects(gateway, origin))
    gateway.start()

    def lost():
        return gateway.metric("ringgate_access_log_dropped_total")

    for count in (1, 2):  # both are counted, one is told
        assert request(gateway.port, "/").status == 200
        wait_until(lambda: lost() >= count, "a line that is lost")
    assert gateway.errors().count("access log lines are lost") == 1
    assert "No space left on device" in gateway.errors()


def test_text_log_on_standard_output(gateways, origins):
    gateway, origin = gateways(), origins()
    gateway.write(objects(gateway, origin))
    command = gateway.command()
    at = command.index("--access-log")
    command[at:at + 4] = ["--access-log", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        wait_until(gateway.is_ready, "readiness")
        request(gateway.port, '/text"x', fields=[("User-Agent", 'evil"\x1b[2J')])
        request(gateway.port, "/text")
        process.send_signal(signal.SIGTERM)
        out = process.communicate(timeout=20)[0].decode()
        assert process.returncode == 0
    assert '"GET /text HTTP/1.1" 200 -' in out
    assert "\x1b" not in out and 'evil"' not in out


def test_service_manager_is_told(gateways, origins):
    gateway, origin = gateways(), origins()
    gateway.write(objects(gateway, origin))
    path = f"{gateway.folder}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        s.settimeout(20)
        gateway.environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000"}
        gateway.start()
        told = ""
        while not ("READY=1" in told and "WATCHDOG=1" in told):
            told += s.recv(4096).decode()
        gateway.signal(signal.SIGTERM)
        while "STOPPING=1" not in told:
            told += s.recv(4096).decode()
    gateway.stop()


def test_port_in_use_is_told(gateways, origins):
    gateway, origin = gateways(), origins()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(1)
        gateway.port = s.getsockname()[1]
        gateway.write(objects(gateway, origin))
        gateway.start(ready=False)
        wait_until(lambda: "in use" in gateway.errors(), "a message about the address")
    gateway.process.kill()
    gateway.process.wait()
    gateway.process = None


def test_admin_path_is_no_socket(gateways):
    gateway = gateways()
    gateway.admin.write_text("precious")
    gateway.start(ready=False)
    assert gateway.wait() == 1
    assert "a file that is no socket is there" in gateway.errors()
    assert gateway.admin.read_text() == "precious"
    gateway.stop(code=1)


def test_admin_path_of_another_instance(gateways):
    first, second, third = gateways(), gateways(), gateways()
    second.admin = third.admin = first.admin
    first.start(ready=False)
    wait_until(lambda: first.health("live") == 200, "the first instance")
    second.start(ready=False)
    assert second.wait() == 1
    assert "another process listens there" in second.errors()
    second.stop(code=1)
    assert first.health("live") == 200

    first.process.kill()  # its socket file stays and is taken over
    first.wait()
    first.process = None
    third.start(ready=False)
    wait_until(lambda: third.health("live") == 200, "the third instance")


def test_admin_socket_of_a_successor_stays(gateways):
    gateway = gateways().start(ready=False)
    wait_until(lambda: gateway.health("live") == 200, "the admin listener")
    gateway.admin.unlink()
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(str(gateway.admin))
        gateway.stop()
        assert gateway.admin.is_socket()


def test_every_engine_is_the_one_asked_for(served):
    info = [line for line in served.get("/metrics")[1].splitlines() if "build_info{" in line]
    wanted = {"uring": "io_uring", "epoll": "epoll"}[served.engine]
    assert f'io_engine="{wanted}"' in info[0]


def test_demo(engine, certs, tmp_path):
    """The three commands that the demo prints do what it says."""
    process = subprocess.Popen(
        [RINGGATE, "demo", "--io", engine, "--workers", "1", "--port", str(free_port())],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)})
    try:
        text = ""
        while "/metrics\n" not in text.split("ready in")[-1] or "ready in" not in text:
            line = process.stdout.readline()
            assert line, text
            text += line
        assert "PathPrefix /hello" in text and "mTLS spiffe://demo.ringgate" in text
        commands = re.findall(r"^  (curl .*|for .*)$", text, re.M)
        assert len(commands) == 3
        hello, mesh, limited = (subprocess.run(
            ["bash", "-c", c], capture_output=True, text=True, check=False, timeout=60).stdout
            for c in commands)
        assert '"target":"/hello"' in hello
        assert '"peer_spiffe_id":"spiffe://demo.ringgate/ns/demo/sa/gateway"' in mesh
        assert limited.split() == ["200"] * 10 + ["429"] * 2
    finally:
        process.send_signal(signal.SIGINT)
        out = process.communicate(timeout=30)[0]
    assert process.returncode == 0, out
    assert list(tmp_path.iterdir()) == []  # the directory with the keys is gone
