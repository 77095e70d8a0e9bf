# SPDX-License-Identifier: Apache-2.0
"""TCPRoute: bytes both ways."""
import hashlib
import os
import socket
import threading

import pytest

import manifests as m
from wire import connect, free_port, read_all, wait_until


def echo(sock, _origin):
    while True:
        data = sock.recv(65536)
        if not data:
            return
        sock.sendall(data)


def sum_at_end(sock, _origin):
    """Answers only when the client has closed its side: needs half-close."""
    digest = hashlib.sha256()
    while True:
        data = sock.recv(65536)
        if not data:
            break
        digest.update(data)
    sock.sendall(digest.hexdigest().encode())


def banner(sock, origin):
    sock.sendall(origin.name.encode())


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins):
    gateway = module_gateways(settings={"tcp_idle_timeout": "1s"})
    o = {"echo": module_origins(echo), "sum": module_origins(sum_at_end),
         "x": module_origins(banner, name="x"), "y": module_origins(banner, name="y")}
    gateway.ports = {name: free_port() for name in ("echo", "sum", "split", "dead", "none")}
    objects = [m.gateway([m.listener(n, p, "TCP") for n, p in gateway.ports.items()]),
               m.tcp_route("echo", ["echo"], "echo"), m.tcp_route("sum", ["sum"], "sum"),
               m.tcp_route("split", [m.backend("x", 3), m.backend("y", 1)], "split"),
               m.tcp_route("dead", ["dead"], "dead"), *m.service("dead", free_port())]
    for name, origin in o.items():
        objects += m.service(name, origin.port)
    gateway.write(objects)
    return gateway.start()


def test_echo(gw):
    with connect(gw.ports["echo"]) as s:
        for size in (1, 100, 5000, 1):
            data = os.urandom(size)
            s.sendall(data)
            got = b""
            while len(got) < size:
                got += s.recv(65536)
            assert got == data
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b""
    assert gw.log(kind="tcp", listener="test/gw/echo")["response_flags"] == "-"


def test_half_close(gw):
    with connect(gw.ports["sum"]) as s:
        s.sendall(b"abc")
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == hashlib.sha256(b"abc").hexdigest().encode()


def test_large_transfer(gw):
    data = os.urandom(8 << 20)
    with connect(gw.ports["echo"]) as s:
        def pour():
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=pour)
        thread.start()
        got = read_all(s)
        thread.join()
    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()
    record = next(r for r in wait_until(lambda: [
        r for r in gw.logs() if r["kind"] == "tcp" and r["bytes_received"] == len(data)]))
    assert record["bytes_sent"] == len(data)


def test_weights(gw):
    got = []
    for _ in range(40):
        with connect(gw.ports["split"]) as s:
            got.append(read_all(s))
    assert 24 <= got.count(b"x") <= 36 and got.count(b"x") + got.count(b"y") == 40


@pytest.mark.parametrize("name", ["dead", "none"])
def test_nothing_behind_it(gw, name):
    try:
        with connect(gw.ports[name]) as s:
            assert read_all(s) == b""
    except ConnectionResetError:
        pass  # cut before connect() returned
    assert gw.log(kind="tcp", listener=f"test/gw/{name}")["response_flags"] != "-"


def test_idle_connection_ends(gw):
    with connect(gw.ports["echo"]) as s:
        s.sendall(b"x")
        assert s.recv(1) == b"x"
        assert read_all(s) == b""  # after tcp_idle_timeout
    gw.log(kind="tcp", response_flags="SI")
