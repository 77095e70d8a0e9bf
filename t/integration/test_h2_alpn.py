# SPDX-License-Identifier: Apache-2.0
"""Backends with TLS choose their version of HTTP by ALPN, unless a Service's port demands one."""
import json
import shutil
import socket
import subprocess
import threading

import pytest

import http2
import manifests as m
import websocket as ws
from h2.settings import SettingCodes
from origin import Origin, http_handler, server_context
from test_websocket import echo_tunnel
from wire import Stream, connect, free_port, request, wait_until

BOTH = ["h2", "http/1.1"]
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")


class Backend(Origin):
    """Speaks what it has chosen, and keeps what that was for each connection. gate: nobody shakes
    hands before it is set."""

    def __init__(self, pair, alpn, serve_h2=None, serve_h1=http_handler):
        self.pair, self.chosen, self.open = pair, [], []
        self.gate = threading.Event()
        self.gate.set()
        self.serve_h1, self.serve_h2 = serve_h1, serve_h2 or http2.handler()
        self.alpn = alpn
        super().__init__(self.speak, self)

    def wrap_socket(self, sock, server_side):
        self.gate.wait(20)
        context = server_context(self.pair, alpn=self.alpn)
        return context.wrap_socket(sock, server_side=server_side)

    def speak(self, sock, origin):
        chosen = sock.sock.selected_alpn_protocol()
        self.chosen.append(chosen)
        self.open.append(sock.sock)
        (self.serve_h2 if chosen == "h2" else self.serve_h1)(sock, origin)

    def restart(self, alpn):
        self.alpn = alpn
        for sock in self.open:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the gateway has closed it
        self.open.clear()


@pytest.fixture
def site(gateways, certs):
    """site(backend, **port): a gateway of one worker with / and /ws before it, started."""
    made = []

    def make(alpn=(), app_protocol=None, pair=None, **serve):
        backend = Backend(pair or certs.echo, alpn, **serve)
        made.append(backend)
        gateway = gateways(workers=1, backend=backend)
        service = m.service("b", backend.port)
        if app_protocol:
            service[0]["spec"]["ports"][0]["appProtocol"] = app_protocol
        gateway.write([m.gateway([m.listener("http", gateway.port)]),
                       m.http_route("r", [m.rule("/", ["b"])]), *service,
                       m.config_map("ca", certs.ca), m.backend_tls("b", "b", "echo.test", "ca")])
        return gateway.start()

    yield make
    for backend in made:
        backend.gate.set()
        backend.close()


def ask(gateway, path="/x"):
    """The version that the backend was asked in."""
    response = request(gateway.port, path)
    assert response.status == 200
    return gateway.log(path=path)["upstream_protocol"]


def ask_many(gateway, count, sent=None):
    """At the same time, on connections of their own; sent(): all are on their way."""
    socks = [connect(gateway.port) for _ in range(count)]
    try:
        for i, sock in enumerate(socks):
            sock.sendall(f"GET /many/{i} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode())
        if sent is not None:
            sent()
        for i, sock in enumerate(socks):
            response = Stream(sock).response()
            assert response.status == 200
            assert json.loads(response.body)["target"] == f"/many/{i}"
    finally:
        for sock in socks:
            sock.close()


def versions(gateway):
    wait_until(lambda: gateway.logs())
    return {record["upstream_protocol"] for record in gateway.logs()}


@pytest.mark.parametrize("alpn, version", [
    (BOTH, "HTTP/2"), (["h2"], "HTTP/2"), (["http/1.1"], "HTTP/1.1"), ([], "HTTP/1.1")],
    ids=["both", "h2", "http1", "none"])
def test_the_backend_chooses(site, alpn, version):
    gateway = site(alpn)
    chosen = {"HTTP/2": "h2"}.get(version, "http/1.1" if alpn else None)
    assert [ask(gateway, f"/{i}") for i in range(3)] == [version] * 3
    assert gateway.backend.chosen == [chosen]  # one connection
    ask_many(gateway, 8)
    assert versions(gateway) == {version} and set(gateway.backend.chosen) == {chosen}
    if version == "HTTP/2":
        assert len(gateway.backend.chosen) == 1


@pytest.mark.parametrize("app_protocol, chosen", [
    ("https", "h2"), ("kubernetes.io/wss", "http/1.1"), ("kubernetes.io/h2c", "h2")])
def test_demands_of_a_port(site, app_protocol, chosen):
    gateway = site(BOTH, app_protocol)
    assert ask(gateway) == ("HTTP/2" if chosen == "h2" else "HTTP/1.1")
    assert gateway.backend.chosen == [chosen]


@pytest.mark.parametrize("alpn, version", [(BOTH, "HTTP/2"), (["http/1.1"], "HTTP/1.1")],
                         ids=["h2", "http1"])
def test_many_before_it_is_known(site, alpn, version):
    """They all dial; the first connection of HTTP/2 serves all of them."""
    gateway = site(alpn)
    gateway.backend.gate.clear()

    def dialled():
        wait_until(lambda: gateway.metric("ringgate_upstream_connections_open") == 40)
        gateway.backend.gate.set()

    ask_many(gateway, 40, dialled)
    assert versions(gateway) == {version}
    if version == "HTTP/1.1":
        return
    # What was not needed closes; at most those are left that opened before the first was settled.
    wait_until(lambda: len(gateway.backend.chosen) == 40)
    wait_until(lambda: gateway.metric("ringgate_upstream_connections_open") <= 4)
    before = len(gateway.backend.chosen)
    ask_many(gateway, 40)
    assert len(gateway.backend.chosen) == before


def test_a_known_choice_is_dialled_once(site):
    """40 at once, when the connection that they would share is gone."""
    gateway = site(BOTH)
    assert ask(gateway) == "HTTP/2"
    gateway.backend.restart(BOTH)
    wait_until(lambda: gateway.metric("ringgate_upstream_connections_open") == 0)
    ask_many(gateway, 40)
    assert gateway.backend.chosen == ["h2", "h2"]


@pytest.mark.parametrize("alpn", [["http/1.1"], []], ids=["http1", "none"])
def test_a_backend_that_changes(site, alpn):
    """From HTTP/2 to HTTP/1.1, also under many who wait for one connection, and back."""
    gateway = site(BOTH)
    for turn in range(2):
        assert ask(gateway, f"/h2/{turn}") == "HTTP/2"
        gateway.backend.restart(alpn)
        wait_until(lambda: gateway.metric("ringgate_upstream_connections_open") == 0)
        ask_many(gateway, 20)
        assert ask(gateway, f"/h1/{turn}") == "HTTP/1.1"
        gateway.backend.restart(BOTH)
        wait_until(lambda: gateway.metric("ringgate_upstream_connections_open") == 0)
    assert ask(gateway, "/last") == "HTTP/2"


def test_limits_of_streams_are_kept(site):
    """A backend that allows two streams: more wait for, or make, other connections."""
    gateway = site(["h2"],
                   serve_h2=http2.handler(settings={SettingCodes.MAX_CONCURRENT_STREAMS: 2}))
    for _ in range(3):
        ask_many(gateway, 20)
    assert versions(gateway) == {"HTTP/2"}


def test_a_request_refused_unprocessed_is_made_again(site):
    """A body that was sent whole too (RFC 9113 8.7): what is kept follows the version in use."""
    refused = []

    def refuse_once(peer, number):
        if peer.stream(number).ended and not refused:
            refused.append(number)
            peer.h2.reset_stream(number, 7)
            peer.flush()
            return True
        return False

    gateway = site(BOTH, serve_h2=http2.handler(at_head=refuse_once))
    response = request(gateway.port, "/again", "POST", body=b"x" * 5000)
    assert response.status == 200 and json.loads(response.body)["length"] == 5000
    assert refused and gateway.log(path="/again", attempts=2)


@pytest.mark.parametrize("tunnels", [False, True])
@pytest.mark.parametrize("first", ["request", "tunnel"])
def test_websocket_beside_h2(site, tunnels, first):
    """Over HTTP/2 if the backend has tunnels there (RFC 8441), else on a connection that offers
    HTTP/1.1 alone; requests stay on HTTP/2."""
    settings = {SettingCodes.ENABLE_CONNECT_PROTOCOL: 1} if tunnels else {}

    def at_head(peer, number):
        return peer.stream(number).get(":protocol") and echo_tunnel(peer, number)

    gateway = site(BOTH, serve_h2=http2.handler(at_head=at_head, settings=settings),
                   serve_h1=ws.echo_handler)
    if first == "request":
        assert ask(gateway, "/before") == "HTTP/2"
    with connect(gateway.port) as sock:
        sock.sendall(ws.handshake("/ws"))
        stream = Stream(sock)
        assert stream.head()[0].split(" ")[1] == "101"
        socket_ = ws.Socket(stream, sock.sendall, masks=True)
        socket_.send(ws.TEXT, b"hello")
        assert socket_.receive()[1] == b"hello"
        if not tunnels:  # the backend of HTTP/2 is one thread a connection
            assert ask(gateway, "/beside") == "HTTP/2"
        socket_.send(ws.CLOSE, b"\x03\xe8")
        assert socket_.receive()[0] == ws.CLOSE
    assert gateway.log(path="/ws")["upstream_protocol"] == ("HTTP/2" if tunnels else "HTTP/1.1")
    assert ask(gateway, "/after") == "HTTP/2"
    assert gateway.backend.chosen == (["h2"] if tunnels else ["h2", "http/1.1"])


def test_a_name_that_is_wrong_is_nobody(site, certs):
    """No version is a way around the policy."""
    gateway = site(BOTH, pair=certs.b)
    assert request(gateway.port, "/x").status == 503
    assert gateway.log(path="/x")["outcome"] == "upstream_tls_failed"


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_nginx(gateways, certs, tmp_path):
    """A real one, started with HTTP/2, then without."""
    port = free_port()

    def run(http2_on):
        listen = f"127.0.0.1:{port} ssl{' http2' if http2_on else ''}"
        (tmp_path / "conf").write_text(
            f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/log;\n"
            "events {}\nhttp { access_log off;\n"
            + "".join(f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in
                      ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            + f"server {{ listen {listen}; ssl_certificate {certs.echo.cert};\n"
            f"ssl_certificate_key {certs.echo.key}; return 200 $server_protocol; }} }}\n")
        process = subprocess.Popen([NGINX, "-p", str(tmp_path), "-c", str(tmp_path / "conf")],
                                   stderr=subprocess.DEVNULL)

        def is_up():
            try:
                connect(port).close()
                return True
            except OSError:
                return False

        wait_until(is_up, "nginx")
        return process

    gateway = gateways(workers=1)
    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["b"])]), *m.service("b", port),
                   m.config_map("ca", certs.ca), m.backend_tls("b", "b", "echo.test", "ca")])
    gateway.start()
    for version in ("HTTP/2.0", "HTTP/1.1", "HTTP/2.0"):
        process = run(version == "HTTP/2.0")
        try:
            for _ in range(5):
                assert request(gateway.port, "/x").body == version.encode()
        finally:
            process.terminate()
            process.wait()
