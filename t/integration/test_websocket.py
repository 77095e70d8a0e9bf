# SPDX-License-Identifier: Apache-2.0
"""WebSocket through the gateway: the handshake, and whatever follows it untouched."""
import os
import socket
import threading

import pytest

import manifests as m
import websocket as ws
from origin import read_request
from wire import Stream, connect, connect_tls, free_port, read_all

LARGE = 16 << 20


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


def dial(gateway, certs, tls=False):
    sock = connect_tls(gateway.tls_port, "a.test", certs.ca) if tls else connect(gateway.port)
    sock.sendall(ws.handshake("/ws"))
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


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_large_message(gw, certs, tls):
    sock, socket_ = dial(gw, certs, tls)
    payload = os.urandom(LARGE)
    with sock:
        sender = threading.Thread(target=socket_.send, args=(ws.BINARY, payload))
        sender.start()
        assert socket_.receive()[1] == payload
        sender.join()
    record = gw.log(path="/ws", bytes_sent=LARGE + 10)
    assert record["response_code"] == 101 and record["bytes_received"] == LARGE + 14


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
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
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
