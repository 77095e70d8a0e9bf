# SPDX-License-Identifier: Apache-2.0
"""WebSocket through the gateway: the handshake, and whatever follows it untouched."""
import os
import select
import signal
import socket
import threading

import pytest

import http2
import manifests as m
import websocket as ws
from h2.settings import SettingCodes
from h2site import h2_dial
from origin import read_request
from wire import SharedTls, Stream, client_context, connect, free_port, read_all, reset

LARGE = 16 << 20
MIXES = [("h1", "h1"), ("h1s", "h2"), ("h2s", "h1"), ("h2s", "h2")]  # with large messages


FILTER = {"type": "ResponseHeaderModifier",
          "responseHeaderModifier": {"set": [{"name": "X-Tunnel", "value": "yes"}]}}


def objects(gateway, origin, certs):
    gateway.tls_port = free_port()
    return [m.gateway([m.listener("http", gateway.port),
                       m.listener("https", gateway.tls_port, "HTTPS", certs=["a"])]),
            m.http_route("r", [m.rule("/", ["b"], filters=[FILTER])]), *m.service("b", origin.port),
            m.secret("a", certs.a)]


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins, certs):
    gateway = module_gateways()
    gateway.write(objects(gateway, module_origins(ws.echo_handler), certs))
    return gateway.start()


def dial(gateway, certs, tls=False, path="/ws"):
    sock = connect(gateway.tls_port if tls else gateway.port)
    if tls:
        sock = SharedTls(sock, "a.test", client_context(certs.ca))
    sock.sendall(ws.handshake(path))
    stream = Stream(sock)
    first, fields = stream.head()
    assert first.split(" ")[1] == "101"
    names = {n.lower(): v for n, v in fields}
    assert names["sec-websocket-accept"] == ws.accept(ws.KEY) and names["x-tunnel"] == "yes"
    return sock, ws.Socket(stream, sock.sendall, masks=True)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_messages_pass_untouched(gw, certs, tls):
    sock, socket_ = dial(gw, certs, tls)
    with sock:
        # Fragments with a control frame between them, reserved bits of an extension.
        frames = [(ws.TEXT, b"a", False, 4), (ws.PING, b"p", True, 0), (0, b"b" * 70000, True, 0),
                  (ws.BINARY, b"", True, 0), (ws.BINARY, os.urandom(126), True, 0)]
        for opcode, payload, final, rsv in frames:
            socket_.send(opcode, payload, final, rsv)
        assert [socket_.receive() for _ in frames] == frames
        socket_.send(ws.CLOSE, b"\x0f\xa0bye")
        assert socket_.receive()[:2] == (ws.CLOSE, b"\x0f\xa0bye")
        assert read_all(sock) == b""


@pytest.mark.parametrize("bytes_, status", [
    (ws.handshake(key=None), 400), (ws.handshake(key="short"), 400),
    (ws.handshake(version="8"), 426), (ws.handshake(version=None), 426)],
    ids=["no key", "short key", "version 8", "no version"])
def test_handshakes_refused(gw, bytes_, status):
    with connect(gw.port) as s:
        s.sendall(bytes_)
        response = Stream(s).response()
    assert response.status == status
    if status == 426:
        assert response.get("sec-websocket-version") == "13"
        assert response.get("upgrade") == "websocket"
        assert "upgrade" in response.get("connection")


def test_an_answer_that_proves_nothing(gateways, origins, certs):
    def wrong(sock, _origin):
        _, _, fields, _, _ = read_request(Stream(sock))
        sock.sendall(ws.answer(fields, proof=ws.accept("other")) + b"not for the client")

    gateway = gateways()
    gateway.write(objects(gateway, origins(wrong), certs))
    gateway.start()
    with connect(gateway.port) as s:
        s.sendall(ws.handshake("/wrong"))
        response = Stream(s).response()
    assert response.status == 502 and b"not for" not in response.body
    assert gateway.log(path="/wrong")["outcome"] == "upstream_protocol_error"


def test_a_refusal_of_the_backend_passes(gateways, origins, certs):
    def refuse(sock, _origin):
        stream = Stream(sock)
        for _ in range(2):
            read_request(stream)
            sock.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")

    gateway = gateways()
    gateway.write(objects(gateway, origins(refuse), certs))
    gateway.start()
    with connect(gateway.port) as s:
        for _ in range(2):  # the connection goes on
            s.sendall(ws.handshake())
            response = Stream(s).response()
            assert response.status == 403 and response.body == b"no"


def test_half_close_and_reset(gateways, origins, certs):
    def count(sock, _origin):
        stream = Stream(sock)
        _, _, fields, _, _ = read_request(stream)
        sock.sendall(ws.answer(fields))
        sock.sendall(b"%d" % len(stream.data + read_all(sock)))

    gateway = gateways()
    gateway.write(objects(gateway, origins(count), certs))
    gateway.start()
    with connect(gateway.port) as s:
        s.sendall(ws.handshake("/half") + b"12345")
        s.shutdown(socket.SHUT_WR)
        stream = Stream(s)
        stream.head()
        assert stream.to_end() == b"5"
    assert gateway.log(path="/half")["outcome"] == "ok"
    with connect(gateway.port) as s:
        s.sendall(ws.handshake("/reset"))
        Stream(s).head()
        reset(s)
    assert gateway.log(path="/reset")["outcome"] == "downstream_closed"


def test_idle_tunnels_end(gateways, origins, certs):
    gateway = gateways({"stream_idle_timeout": "1s"})
    gateway.write(objects(gateway, origins(ws.echo_handler), certs))
    gateway.start()
    sock, socket_ = dial(gateway, certs)
    with sock:
        socket_.send(ws.TEXT, b"hello")
        assert socket_.receive()[1] == b"hello"
        assert read_all(sock) == b""
    assert gateway.log(path="/ws")["outcome"] == "stream_idle_timeout"


def test_idle_timeout_of_a_route(gateways, origins, certs):
    """Its own, longer or shorter than the setting; 0s is none."""
    gateway = gateways({"stream_idle_timeout": "300ms"})
    written = objects(gateway, origins(ws.echo_handler), certs)
    route = next(o for o in written if o["kind"] == "HTTPRoute")
    for timeout, ends in (("1h", False), ("0s", False), ("200ms", True)):
        route["metadata"]["annotations"] = {"ringgate.dev/idle-timeout": timeout}
        if gateway.process is None:
            gateway.write(written)
            gateway.start()
        else:
            gateway.apply(written)
        sock, socket_ = dial(gateway, certs)
        with sock:
            socket_.send(ws.TEXT, b"hello")
            assert socket_.receive()[1] == b"hello"
            if ends:
                assert read_all(sock) == b""
            else:
                assert not select.select([sock], [], [], 0.8)[0]
    assert gateway.log(path="/ws", outcome="stream_idle_timeout")


# Every mix of versions.


def echo_tunnel(peer, number):
    message = peer.stream(number)
    assert message.get(":method") == "CONNECT" and message.get(":protocol") == "websocket"
    assert message.get("sec-websocket-key") is None
    peer.send_head(number, [(":status", "200")])
    bytes_ = http2.Bytes(peer, number)
    ws.echo_frames(ws.Socket(bytes_, bytes_.send, masks=False))
    peer.send_body(number, b"")
    return True


def either_version(sock, origin):
    """A backend whose HTTP/2 has no tunnels."""
    if sock.sock.recv(4, socket.MSG_PEEK).startswith(b"PRI "):
        http2.handler()(sock, origin)
    else:
        ws.echo_handler(sock, origin)


@pytest.fixture(scope="module")
def mixed(module_gateways, module_origins, certs):
    """/h1, /h2 and /without go to a backend of that kind."""
    gateway = module_gateways()
    gateway.tls_port = free_port()
    gateway.certs = certs
    tunnels = {SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}
    gateway.write([
        m.gateway([m.listener("http", gateway.port),
                   m.listener("https", gateway.tls_port, "HTTPS", certs=["a"])]),
        m.http_route("r", [m.rule(f"/{name}", [name], filters=[FILTER])
                           for name in ("h1", "h2", "without")]),
        *m.service("h1", module_origins(ws.echo_handler).port),
        *m.h2_service("h2", module_origins(http2.handler(at_head=echo_tunnel,
                                                       settings=tunnels)).port),
        *m.h2_service("without", module_origins(either_version).port), m.secret("a", certs.a)])
    return gateway.start()


@pytest.mark.parametrize("backend", ["h1", "h2", "without"])
@pytest.mark.parametrize("client", ["h1", "h1s"])
def test_over_http1(mixed, certs, client, backend):
    payload = os.urandom(LARGE if (client, backend) in MIXES else 1 << 20)
    sock, socket_ = dial(mixed, certs, client == "h1s", f"/{backend}/{client}")
    with sock:
        sender = threading.Thread(target=socket_.send, args=(ws.BINARY, payload))
        sender.start()
        assert socket_.receive()[1] == payload
        sender.join()
        socket_.send(ws.CLOSE, b"\x03\xe8")
        assert socket_.receive()[:2] == (ws.CLOSE, b"\x03\xe8")
        assert read_all(sock) == b""
    record = mixed.log(path=f"/{backend}/{client}")
    assert record["outcome"] == "ok" and record["response_code"] == 101
    assert record["upstream_protocol"] == ("HTTP/2" if backend == "h2" else "HTTP/1.1")
    heads = 14 if len(payload) >= 1 << 16 else 8
    assert record["bytes_received"] == len(payload) + heads + 8
    assert record["bytes_sent"] == len(payload) + heads - 4 + 4


@pytest.mark.parametrize("backend", ["h1", "h2", "without"])
@pytest.mark.parametrize("client", ["h2", "h2s"])
def test_over_http2(mixed, client, backend):
    """Several tunnels and a request on one connection."""
    peer = h2_dial(mixed, client)
    scheme = "https" if client == "h2s" else "http"
    payload = os.urandom(LARGE if (client, backend) in MIXES else 1 << 20)
    with peer.sock:
        # The backend of HTTP/2 is one thread a connection: one tunnel.
        count = 1 if backend == "h2" else 2
        numbers = [peer.tunnel(f"/{backend}/{client}/{i}", scheme=scheme) for i in range(count)]
        tunnels = []
        for number in numbers:
            assert peer.stream(number).status == 200
            assert peer.stream(number).get("sec-websocket-accept") is None
            assert peer.stream(number).get("x-tunnel") == "yes"
            bytes_ = http2.Bytes(peer, number)
            tunnels.append(ws.Socket(bytes_, bytes_.send, masks=True))
        for tunnel in tunnels:
            tunnel.send(ws.TEXT, b"hello", rsv=4)
            assert tunnel.receive() == (ws.TEXT, b"hello", True, 4)
        tunnels[0].send(ws.BINARY, payload)  # what comes back meanwhile is kept by the peer
        assert tunnels[0].receive()[1] == payload
        for number, tunnel in zip(numbers, tunnels):
            tunnel.send(ws.CLOSE, b"\x03\xe8")
            assert tunnel.receive()[:2] == (ws.CLOSE, b"\x03\xe8")
            peer.send_body(number, b"")
            assert peer.finish(number).ended
    record = mixed.log(path=f"/{backend}/{client}/0")
    assert record["outcome"] == "ok" and record["protocol"] == "HTTP/2"


@pytest.mark.parametrize("key", ["abc", ws.KEY])
@pytest.mark.parametrize("backend", ["h1", "h2"])
def test_a_key_over_http2_means_nothing(mixed, backend, key):
    """RFC 8441 5: a backend of HTTP/1.1 gets one of ours, one of HTTP/2 none."""
    peer = h2_dial(mixed)
    with peer.sock:
        number = peer.tunnel(f"/{backend}/key", fields=[("sec-websocket-key", key)])
        assert peer.stream(number).status == 200
        assert peer.stream(number).get("sec-websocket-accept") is None


def test_refused_over_http2(mixed):
    peer = h2_dial(mixed)
    with peer.sock:
        number = peer.tunnel("/h1/no-version", version="8")
        message = peer.finish(number)
        assert message.status == 426 and message.get("sec-websocket-version") == "13"
        number = peer.tunnel("/nowhere")
        assert peer.finish(number).status == 404


def test_reset_over_http2(mixed):
    peer = h2_dial(mixed)
    with peer.sock:
        number = peer.tunnel("/h1/reset")
        peer.h2.reset_stream(number, 8)
        peer.flush()
        assert mixed.log(path="/h1/reset")["outcome"] == "downstream_closed"
        number = peer.tunnel("/h1/again")
        assert peer.stream(number).status == 200


def test_tunnels_end_at_the_drain_deadline(gateways, origins, certs):
    gateway = gateways({"drain_timeout": "500ms"})
    gateway.write(objects(gateway, origins(ws.echo_handler), certs))
    gateway.certs = certs
    gateway.start()
    sock, _ = dial(gateway, certs)
    peer = h2_dial(gateway)
    with sock, peer.sock:
        peer.tunnel("/h2")
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0
    assert gateway.log(path="/ws")["outcome"] == "drained"
    assert gateway.log(path="/h2")["outcome"] == "drained"
