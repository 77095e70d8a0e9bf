# SPDX-License-Identifier: Apache-2.0
"""Clients and backends of every kind that leave, reset and stall at random, while the
configuration changes and the limit store comes and goes: nothing is left over, and under
sanitizers nothing is found. STORM_SECONDS, STORM_SEED: a longer one, another one."""
import os
import random
import signal
import ssl
import threading
import time

from h2.exceptions import H2Error
from h2.settings import SettingCodes

import http2
import manifests as m
import websocket as ws
from origin import server_context
from wire import TIMEOUT_S, Stream, client_context, connect, free_port, reset, wait_until

SECONDS = float(os.environ.get("STORM_SECONDS", "2"))
SEED = int(os.environ.get("STORM_SEED", "1"))
CLIENTS = 12
PATIENCE_S = 0.3  # of a client
PATHS = ["/h1", "/h2", "/h1s", "/h2s", "/mixed", "/retry", "/mirror", "/limit"]
GRPC = [("content-type", "application/grpc"), ("te", "trailers")]
SETTINGS = {"route_timeout": "500ms", "stream_idle_timeout": "500ms", "idle_timeout": "5s",
            "upstream_idle_timeout": "1s", "mirror_timeout": "200ms", "body_timeout": "500ms",
            "h2_resets_burst": "100000", "h2_control_burst": "100000", "drain_timeout": "1s",
            "write_timeout": "1s"}
GAUGES = ["http_requests_active", "downstream_connections_open", "upstream_connections_open",
          "mirror_requests_active"]


def some(rand, most):
    return rand.randbytes(rand.choice([0, 1, 100, most // 10, rand.randrange(most), most]))


# Backends.


def head_h2(rand, peer, number):
    """At a request's head. True: this stream needs nothing more."""
    what = rand.choice(["reset", "goaway", "leave", "hint", "early", "cut", "silence", "500",
                        "big"] + ["echo"] * 12)
    if peer.stream(number).get(":protocol"):
        peer.send_head(number, [(":status", rand.choice(["200", "403"]))])
        peer.queue(number, some(rand, 90000))
    elif what == "reset":
        peer.h2.reset_stream(number, rand.choice([0, 2, 7, 8]))
    elif what == "goaway":
        peer.h2.close_connection(0, last_stream_id=rand.choice([0, max(number - 2, 0), number]))
        peer.h2.state_machine.state = peer.state
        return False
    elif what == "leave":
        raise OSError
    elif what == "hint":
        peer.send_head(number, [(":status", "103"), ("link", "</x>")])
        return False
    elif what == "early":
        peer.send_head(number, [(":status", "200")])
        peer.queue(number, some(rand, 200000))
    elif what == "cut":
        peer.send_head(number, [(":status", "200")])
        peer.send_body(number, b"abc", end=False)
        peer.h2.reset_stream(number, rand.choice([2, 8]))
    elif what == "500":
        peer.send_head(number, [(":status", "500")], end=True)
    elif what == "big":
        peer.send_head(number, [(":status", "200"), ("x-big", "b" * 9000)], end=True)
    return what not in ("echo", "silence")


def answer_h2(rand, peer, number):
    """At a request's end."""
    kind = rand.choice(["body", "trailers", "bare", "none"])
    fields = [(":status", "200"), ("content-type", "application/grpc")]
    peer.send_head(number, fields, end=kind == "bare")
    if kind == "body":
        peer.queue(number, some(rand, 200000))
    elif kind == "trailers":
        peer.send_body(number, some(rand, 3000), end=False)
        if peer.stream(number).reset is None:
            peer.send_head(number, [("grpc-status", "0"), ("grpc-message", "fine")], end=True)


def backend_h2(rand):
    def serve(sock, origin):
        settings = {SettingCodes.ENABLE_CONNECT_PROTOCOL: rand.randrange(2),
                    SettingCodes.MAX_CONCURRENT_STREAMS: rand.choice([1, 3, 100]),
                    SettingCodes.INITIAL_WINDOW_SIZE: rand.choice([1000, 65535, 1 << 20])}
        try:
            http2.handler(lambda p, n: answer_h2(rand, p, n), lambda p, n: head_h2(rand, p, n),
                          settings)(sock, origin)
        except H2Error:
            pass  # what it does is wrong on purpose

    return serve


def backend_h1(rand):
    def serve(sock, _origin):
        stream = Stream(sock)
        while True:
            fields = stream.head()[1]
            names = {n.lower(): v for n, v in fields}
            what = rand.choice(["reset", "leave", "cut", "early", "silence", "500", "chunks"] +
                               ["answer"] * 12)
            if what == "leave":
                return
            if what == "cut":
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
            if what in ("reset", "cut"):
                reset(sock.sock)
                return
            if what == "early":
                sock.sendall(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno")
                return
            if "upgrade" in names:
                sock.sendall(ws.answer(fields) + some(rand, 90000))
                return
            if "transfer-encoding" in names:
                stream.chunked()
            else:
                stream.exactly(int(names.get("content-length", 0)))
            if what == "silence":
                time.sleep(rand.choice([0.05, 1]))
            body = some(rand, 100000)
            if what == "chunks":
                sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
                             b"%x\r\n%s\r\n" % (len(body) + 1, body + b"x") +
                             b"0\r\ngrpc-status: 0\r\n\r\n")
                continue
            status = b"500 No" if what == "500" else b"200 OK"
            sock.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)

    return serve


# Clients.


def dial(gateway, rand, alpn):
    """(socket, scheme)"""
    if rand.randrange(2):
        return connect(gateway.port, PATIENCE_S), "http"
    sock = connect(gateway.tls_port, PATIENCE_S)
    if rand.randrange(20) == 0:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01")  # and no more of the handshake
    return gateway.contexts[alpn].wrap_socket(sock, server_hostname="a.test"), "https"


def client_h1(gateway, rand):
    sock, _ = dial(gateway, rand, "http/1.1")
    stream = Stream(sock)
    with sock:
        for _ in range(rand.randrange(1, 5)):
            path, what = rand.choice(PATHS).encode(), rand.randrange(8)
            if what == 0:
                sock.sendall(ws.handshake(path.decode()) + some(rand, 50000))
                stream.head()
                stream.more()
                return
            if what == 1:
                sock.sendall(b"GET %s HTTP/1.1\r\nHost: a.test\r\n\r\n" % path * 3)
                stream.response()
            elif what == 2:
                sock.sendall(b"POST %s HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n"
                             b"\r\n4\r\nabcd\r\n0\r\nx-sum: 1\r\n\r\n" % path)
            else:
                sock.sendall(b"POST %s HTTP/1.1\r\nHost: a.test\r\nContent-Length: 50000\r\n\r\n" %
                             path + b"x" * rand.choice([100, 50000, 50000]))
            if rand.randrange(10) == 0:
                reset(sock)
                return
            stream.response()


def client_h2(gateway, rand):
    sock, scheme = dial(gateway, rand, "h2")
    peer = http2.Peer(sock, settings={
        SettingCodes.INITIAL_WINDOW_SIZE: rand.choice([0, 1000, 65535]),
        SettingCodes.MAX_HEADER_LIST_SIZE: rand.choice([200, 65536])})
    with sock:
        numbers = []
        for _ in range(rand.randrange(1, 12)):
            path, what = rand.choice(PATHS), rand.randrange(6)
            if what == 0:
                number = peer.tunnel(path, scheme=scheme)
                if rand.randrange(2):
                    peer.send_body(number, some(rand, 50000), end=rand.random() < 0.5)
            elif what < 3:
                number = peer.open(path, scheme=scheme)
            else:
                number = peer.open(path, "POST", end=False, scheme=scheme,
                                   fields=rand.choice([(), GRPC]))
                if rand.randrange(2):
                    peer.queue(number, some(rand, 50000))
                else:
                    peer.send_body(number, b"y" * rand.randrange(1, 3000), rand.random() < 0.7)
            numbers.append(number)
            if rand.random() < 0.2:
                peer.out.pop(number, None)
                peer.h2.reset_stream(number, 8)
                peer.flush()
            elif rand.random() < 0.1:
                peer.hold.add(number)
        if rand.randrange(10) == 0:
            reset(sock)
        elif rand.random() < 0.8:
            while not all(peer.stream(n).ended or peer.stream(n).reset is not None
                          for n in numbers) and peer.pump():
                peer.out = {n: d for n, d in peer.out.items() if peer.stream(n).reset is None}
                peer.send_queued()


class Storm:
    """A gateway, its backends, and clients for a time."""

    def __init__(self, gateway, origins, certs, redis):
        self.rand = rand = random.Random(SEED)
        self.gateway, self.certs, self.redis = gateway, certs, redis
        self.failures, self.end = [], 0
        gateway.tls_port = free_port()
        gateway.contexts = {alpn: client_context(certs.ca, alpn=[alpn])
                            for alpn in ("h2", "http/1.1")}
        tls, alpn = server_context(certs.echo), server_context(certs.echo, alpn=["h2"])
        self.services = [*m.service("h1", origins(backend_h1(rand)).port),
                         *m.service("h1s", origins(backend_h1(rand), tls).port),
                         *m.h2_service("h2", origins(backend_h2(rand)).port),
                         *m.h2_service("h2s", origins(backend_h2(rand), alpn).port)]
        gateway.write(self.objects(0))
        gateway.start()

    def objects(self, turn):
        """The configuration moves a path from one backend to another, and back."""
        retry = {"attempts": 2, "codes": [500], "backoff": "2ms"}
        copies = [{"type": "RequestMirror",
                   "requestMirror": {"backendRef": {"name": name, "port": 80}}}
                  for name in ("h1", "h2", "h2s")]
        moved = ["h2", "h2", "h2", "h1"][turn % 4]
        rules = [m.rule(f"/{name}", [name]) for name in ("h1", "h1s", "h2s")]
        rules += [m.rule("/h2", [moved]), m.rule("/mixed", ["h1", "h2", "h1s", "h2s"]),
                  m.rule("/retry", ["h1", "h2"], retry=retry,
                         timeouts={"request": "300ms", "backendRequest": "100ms"}),
                  m.rule("/mirror", ["h1", "h2s"], filters=copies)]
        return [m.gateway([m.listener("http", self.gateway.port),
                           m.listener("https", self.gateway.tls_port, "HTTPS", certs=["a"])]),
                m.http_route("r", rules), m.http_route("limited", [m.rule("/limit", ["h1", "h2"])]),
                m.limit("l", "limited", 50, "1s", store="s"), m.store("s", self.redis.endpoint),
                *self.services, m.secret("a", self.certs.a), m.config_map("ca", self.certs.ca),
                m.backend_tls("h1s", "h1s", "echo.test", "ca"),
                m.backend_tls("h2s", "h2s", "echo.test", "ca")]

    def client(self, seed):
        rand = random.Random(seed)
        while time.monotonic() < self.end:
            try:
                rand.choice([client_h1, client_h2])(self.gateway, rand)
            except (OSError, EOFError, H2Error, ssl.SSLError):
                pass  # answers are not the point
            except Exception as error:  # pylint: disable=broad-except
                self.failures.append(error)
                raise

    def begin(self, seconds):
        """The threads of the clients."""
        self.end = time.monotonic() + seconds
        threads = [threading.Thread(target=self.client, args=(self.rand.random(),))
                   for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        return threads

    def run(self, seconds):
        threads, turn = self.begin(seconds), 0
        while any(t.is_alive() for t in threads):
            time.sleep(0.3)
            turn += 1
            self.gateway.write(self.objects(turn))
            self.redis.process.send_signal(signal.SIGSTOP if turn % 3 == 1 else signal.SIGCONT)
        assert not self.failures
        for name in GAUGES:
            wait_until(lambda name=name: self.gateway.metric("ringgate_" + name) == 0, name)


def test_storm(gateways, origins, certs, redis):
    storm = Storm(gateways(SETTINGS), origins, certs, redis)
    gateway = storm.gateway
    before = gateway.descriptors()
    storm.run(SECONDS)
    wait_until(lambda: gateway.descriptors() <= before + gateway.workers, "the store's alone")
    outcomes = {r["outcome"] for r in gateway.logs()}
    assert "ok" in outcomes and len(outcomes) > 5, outcomes
    # The end comes in the middle of another one.
    threads = storm.begin(TIMEOUT_S)
    wait_until(lambda: gateway.metric("ringgate_http_requests_active") > 0, "requests")
    gateway.stop()
    storm.end = 0
    for thread in threads:
        thread.join()
    assert not storm.failures
