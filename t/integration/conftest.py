# SPDX-License-Identifier: Apache-2.0
"""Fixtures. Every test that uses a gateway runs once on each I/O engine;
RINGGATE_IO=epoll (or uring) restricts that."""
import itertools
import os
import shutil
import subprocess
import sys

import pytest

sys.dont_write_bytecode = True

from certs import Authority  # noqa: E402
from origin import Origin  # noqa: E402
from process import RINGGATE, Gateway  # noqa: E402
from wire import wait_until  # noqa: E402

ENGINES = [e for e in ("uring", "epoll") if e in os.environ.get("RINGGATE_IO", "uring,epoll")]
counter = itertools.count()


@pytest.fixture(scope="session", params=ENGINES)
def engine(request, tmp_path_factory):
    """Skips io_uring where the kernel refuses it."""
    if request.param == "uring":
        empty = tmp_path_factory.mktemp("probe")
        (empty / "bad.yaml").write_text("kind: [\n")
        probe = subprocess.run([RINGGATE, "run", "--io", "uring", "--config", str(empty),
                                "--admin", f"unix:{empty}/admin"], capture_output=True, text=True,
                               check=False, timeout=60)
        if probe.returncode != 78:
            pytest.skip(f"io_uring cannot be had: {probe.stderr.strip()}")
    return request.param


@pytest.fixture(scope="session")
def folder():
    """A short path: Unix socket names have 107 bytes."""
    path = f"/tmp/ringgate-test-{os.getpid()}"
    os.makedirs(path)
    yield path
    shutil.rmtree(path, ignore_errors=True)


class Certs:
    def __init__(self, where):
        os.makedirs(where)
        self.ca = Authority(where, "ca")
        self.other_ca = Authority(where, "other-ca")
        self.a = self.ca.issue("a", "DNS:a.test,DNS:localhost,IP:127.0.0.1")
        self.a_rsa = self.ca.issue("a-rsa", "DNS:a.test", key="rsa")
        self.b = self.ca.issue("b", "DNS:b.test")
        self.wild = self.ca.issue("wild", "DNS:*.wild.test")
        self.gateway = self.ca.issue("gateway", "URI:spiffe://test/ns/edge/sa/gateway")
        self.echo = self.ca.issue("echo", "DNS:echo.test,URI:spiffe://test/ns/app/sa/echo")
        self.stranger = self.other_ca.issue("stranger", "DNS:echo.test,"
                                            "URI:spiffe://test/ns/app/sa/echo")
        self.client = self.ca.issue("client", "URI:spiffe://test/ns/app/sa/client")


def pytest_collection_finish():
    """What says how to test is no setting of the gateways."""
    for name in [name for name in os.environ if name.startswith("RINGGATE_")]:
        del os.environ[name]


@pytest.fixture(scope="session")
def certs(folder):
    return Certs(f"{folder}/certs")


def make_gateways(folder, engine):
    made = []

    def make(settings=(), **attributes):
        gateway = Gateway(f"{folder}/{next(counter)}", engine, settings)
        for name, value in attributes.items():
            setattr(gateway, name, value)
        made.append(gateway)
        return gateway

    return made, make


def stop_all(made):
    problems = []
    for gateway in made:
        try:
            gateway.stop()
        except AssertionError as error:
            problems.append(str(error))
    assert not problems, "\n".join(problems)


@pytest.fixture
def gateways(folder, engine):
    """make(settings): a gateway for this test; its end is checked."""
    made, make = make_gateways(folder, engine)
    yield make
    stop_all(made)


@pytest.fixture(scope="module")
def module_gateways(folder, engine):
    """The same for gateways that the tests of a module share."""
    made, make = make_gateways(folder, engine)
    yield make
    stop_all(made)


def make_origins():
    made = []

    def make(handler=None, context=None, name="origin"):
        made.append(Origin(handler, context, name))
        return made[-1]

    yield make
    for origin in made:
        origin.close()


@pytest.fixture
def origins():
    """make(handler, context): a backend for this test."""
    yield from make_origins()


@pytest.fixture(scope="module")
def module_origins():
    """The same for backends that the tests of a module share."""
    yield from make_origins()


class Redis:
    """A redis-server of our own on a Unix socket."""

    def __init__(self, where):
        self.where = where
        self.socket = f"{where}/redis.sock"
        self.process = None
        os.makedirs(where)

    @property
    def endpoint(self):
        return f"unix:{self.socket}"

    def start(self, *options):
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.socket, "--save", "",
             "--appendonly", "no", "--dir", self.where, *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: self.ask("PING") not in (None, b""), "an answer of redis-server")
        return self

    def ask(self, *words):
        """The raw answer to one command; None while nothing answers."""
        import socket
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                s.connect(self.socket)
                s.sendall(" ".join(words).encode() + b"\r\n")
                return s.recv(1 << 20)
        except OSError:
            return None

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def redis(folder):
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    server = Redis(f"{folder}/redis-{next(counter)}").start()
    yield server
    server.kill()
