# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 clients that make us keep much: others are served, and what was taken
for them is given back."""
import pytest

import h2wire as h
import manifests as m
from wire import wait_until

ATTACKERS, STREAMS = 24, 100


def backend(sock, _origin):
    """/big gets nearly as much as the window of a stream lets through; /never gets no answer; for
    /stuck no window is opened either."""
    server = h.Server(sock, (h.MAX_CONCURRENT_STREAMS, 1000))
    stuck = set()
    while (got := server.read()) is not None:
        if got.kind == h.DATA and got.payload and got.stream not in stuck:
            server.send(h.number(h.WINDOW_UPDATE, 0, len(got.payload)))
        if got.kind != h.HEADERS:
            continue
        path = dict(got.fields)[":path"]
        if path == "/big":
            server.send(h.headers(got.stream, [(":status", "200")], end=False),
                        *[h.frame(h.DATA, 0, got.stream, b"x" * 16384)] * 3)
        elif path == "/stuck":
            stuck.add(got.stream)
        elif path != "/never":
            server.respond(got.stream)


@pytest.fixture
def gw(gateways, origins):
    gateway = gateways({"blocks_max": 4096})
    gateway.workers = 1
    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["one"])]),
                   *m.h2_service("one", origins(backend).port)])
    return gateway.start()


def ask_much(port):
    """Answers for which no window is opened."""
    client = h.Client(port, (h.INITIAL_WINDOW_SIZE, 0))
    for _ in range(STREAMS):
        client.request("/big")
    return client


def read_nothing(port):
    """Answers for which every window is open, but nobody reads."""
    client = h.Client(port, (h.INITIAL_WINDOW_SIZE, 0x7fffffff))
    client.send(h.number(h.WINDOW_UPDATE, 0, 0x7fff0000))
    for _ in range(STREAMS):
        client.request("/big")
    return client


def wait_long(port):
    """Requests that the backend never answers, each with the beginning of a body."""
    client = h.Client(port)
    for _ in range(STREAMS):
        stream = client.request("/never", method="POST", end=False)
        client.send(h.frame(h.DATA, 0, stream, b"x" * 500))
    return client


def send_much(port):
    """Bodies that the backend does not take."""
    client = h.Client(port)
    for _ in range(STREAMS):
        stream = client.request("/stuck", method="POST", end=False)
        client.send(h.frame(h.DATA, 0, stream, b"x" * 10000))
    return client


@pytest.mark.parametrize("much", [ask_much, read_nothing, wait_long, send_much])
def test_others_are_served(gw, much):
    """Whoever holds most of what there is loses it when others need it."""
    with h.Client(gw.port) as good:
        assert good.get("/warm").body == b"ok"
        clients = []
        for _ in range(ATTACKERS):
            clients.append(much(gw.port))
            for _ in range(5):
                assert good.get("/next").body == b"ok"
        for _ in range(20):
            assert good.get("/next").body == b"ok"
            with h.Client(gw.port) as other:
                assert other.get("/next").body == b"ok"
        for client in clients:
            client.close()
        wait_until(lambda: gw.metric("ringgate_http_requests_active") == 0, "the end of the others")
        assert good.get("/next").body == b"ok"


def test_memory_comes_back(gw):
    """But for what a worker keeps ready: a mebibyte of blocks, and pools that are in use."""
    with h.Client(gw.port) as good:
        assert good.get("/warm").body == b"ok"
        before = gw.memory_kib()
        clients = [ask_much(gw.port) for _ in range(ATTACKERS)]
        wait_until(lambda: gw.outcomes("overload") > 0, "a shortage")
        assert gw.is_sanitized() or gw.memory_kib() > before + 20480
        for client in clients:
            client.close()
        wait_until(lambda: gw.memory_kib() <= before + 6144, "memory as before")
