# SPDX-License-Identifier: Apache-2.0
"""What one client may take: connections of an address, time for a body, trailers."""
import json
import threading

import pytest

import h2wire as h
import http2
import manifests as m
from origin import read_request
from wire import Stream, connect, free_port, read_all, request, wait_until

GET = b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n"


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins):
    gateway = module_gateways(settings={"connections_per_ip_max": 3, "body_rate_min": 100,
                                        "body_rate_after": "500ms"})
    gateway.tcp = free_port()
    gateway.origin = origin = module_origins()
    gateway.plain = free_port()
    gateway.write([
        m.gateway([m.listener("http", gateway.port), m.listener("tcp", gateway.tcp, "TCP"),
                   m.listener("plain", gateway.plain)],
                  annotations={"ringgate.dev/proxy-protocol": "http, tcp"}),
        m.http_route("r", [m.rule("/", ["origin"])]),
        m.tcp_route("t", ["origin"]), *m.service("origin", origin.port)])
    return gateway.start()


def client(port, ip, family="TCP4"):
    """A connection as a proxy makes it for that client."""
    s = connect(port)
    s.sendall(f"PROXY {family} {ip} {ip} 1111 80\r\n".encode())
    return s


def served(sock):
    sock.sendall(GET)
    return Stream(sock).response().status == 200


def refused(sock):
    try:
        sock.sendall(GET)
    except OSError:
        pass
    return read_all(sock) == b""


def exceeded(gw):
    return gw.metric('ringgate_outcomes_total{outcome="client_connections_exceeded"}')


@pytest.mark.parametrize("port", ["port", "tcp"])
@pytest.mark.parametrize("family, ip, same, other", [
    ("TCP4", "192.0.2.1", "192.0.2.1", "192.0.2.2"),
    ("TCP6", "2001:db8:0:1::1", "2001:db8:0:1::99", "2001:db8:0:2::1")], ids=["v4", "v6"])
def test_connections_of_an_address(gw, port, family, ip, same, other):
    port, before = getattr(gw, port), exceeded(gw)
    held = [client(port, ip, family) for _ in range(3)]
    assert all(served(s) for s in held)
    with client(port, same, family) as fourth, client(port, other, family) as stranger:
        assert refused(fourth)
        assert served(stranger)
    assert exceeded(gw) == before + 1
    assert all(served(s) for s in held)
    assert "outcome=client_connections_exceeded" in gw.errors()
    held.pop().close()

    def room():
        s = client(port, ip, family)
        try:
            return served(s)
        except (EOFError, OSError):
            return False
        finally:
            s.close()

    wait_until(room, "room for one more")
    for s in held:
        s.close()
    wait_until(lambda: gw.metric("ringgate_downstream_connections_open") == 0)


def test_loopback_is_not_counted(gw):
    held = [connect(gw.plain) for _ in range(8)]
    assert all(served(s) for s in held)
    for s in held:
        s.close()


def drip(sock, piece, stop):
    """Sends pieces until the peer has enough or stop is set."""
    try:
        while not stop.wait(0.05):
            sock.sendall(piece)
    except OSError:
        pass


def upload(gw, target, piece, fields=b""):
    """What comes back for a body that comes in pieces, until the answer or 2 s."""
    stop = threading.Event()
    with connect(gw.plain) as s:
        s.sendall(b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n%s\r\n"
                  % (target.encode(), fields))
        thread = threading.Thread(target=drip, args=(s, piece, stop))
        thread.start()
        s.settimeout(2)
        try:
            return Stream(s).response()
        except TimeoutError:
            return None
        finally:
            stop.set()
            thread.join()


def test_body_that_drips(gw):
    response = upload(gw, "/drip", b"x")
    assert response.status == 408
    record = gw.log(path="/drip")
    assert record["outcome"] == "request_timeout" and record["response_flags"] == "SI,RQ"
    wait_until(lambda: gw.metric("ringgate_http_requests_active") == 0)


def test_body_that_drips_over_http2(gw):
    """The same floor; other requests of the connection are not concerned."""
    stop = threading.Event()
    with h.Client(gw.plain) as client:
        slow = client.request("/drip2", method="POST", end=False)
        thread = threading.Thread(target=drip, args=(
            client.sock, h.frame(h.DATA, 0, slow, b"x"), stop))
        thread.start()
        try:
            assert client.answer(slow).status == 408
        finally:
            stop.set()
            thread.join()
        assert client.get("/after2").status == 200
    assert gw.log(path="/drip2")["outcome"] == "request_timeout"


def test_body_that_comes_slowly_but_well(gw):
    """Ten times the floor and more: waited for."""
    assert upload(gw, "/well", b"x" * 200) is None


def test_grpc_may_rest(gw):
    assert upload(gw, "/rest", b"x", b"Content-Type: application/grpc+proto\r\n") is None


def test_backend_that_does_not_read_is_not_the_clients_fault(gateways, origins):
    """The body waits for longer than the floor allows, because of the backend."""
    def slow(sock, origin):
        stream = Stream(sock)
        stream.head()
        origin.stop.wait(2.5)
        stream.exactly(8 << 20)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    gateway = gateways(settings={"body_rate_min": 100 << 20, "body_rate_after": "1500ms"})
    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["slow"])]),
                   *m.service("slow", origins(slow).port)])
    gateway.start()
    assert request(gateway.port, "/slow", method="POST", body=bytes(8 << 20)).status == 200


# Trailers: a response's may be as large as its head, a request's have limits of their own.


def trailers_of(path):
    """/side/count/size: how many, of how many bytes each."""
    count, size = (int(n) for n in path.split("/")[-2:])
    return [(f"x-{i}", "v" * size) for i in range(count)]


def trailing_h1(sock, _origin):
    stream = Stream(sock)
    while True:
        target = read_request(stream)[1]
        lines = "".join(f"{n}: {v}\r\n" for n, v in trailers_of(target))
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n")
        sock.sendall(f"0\r\n{lines}\r\n".encode())


def trailing_h2(peer, number):
    peer.send_head(number, [(":status", "200")])
    peer.send_body(number, b"body", end=False)
    peer.send_head(number, trailers_of(peer.stream(number).get(":path")), True)


@pytest.fixture(scope="module")
def trailing(module_gateways, module_origins):
    gateway = module_gateways()
    gateway.write([
        m.gateway([m.listener("http", gateway.port)]),
        m.http_route("r", [m.rule(f"/{name}", [name]) for name in ("h1", "h2", "echo")]),
        *m.service("h1", module_origins(trailing_h1).port),
        *m.h2_service("h2", module_origins(http2.handler(trailing_h2)).port),
        *m.service("echo", module_origins().port)])
    return gateway.start()


@pytest.mark.parametrize("count, size", [(1, 9000), (2, 16000), (100, 200)])
@pytest.mark.parametrize("backend", ["h1", "h2"])
def test_large_trailers_of_responses(trailing, backend, count, size):
    path = f"/{backend}/{count}/{size}"
    peer = http2.dial(trailing.port)
    with peer.sock:
        response = peer.request(path)
        assert (response.status, bytes(response.body)) == (200, b"body")
        assert response.trailers == trailers_of(path) and response.reset is None
    response = request(trailing.port, path)
    assert (response.status, response.body) == (200, b"body")
    assert response.trailers == trailers_of(path)


@pytest.mark.parametrize("count, size", [(1, 17000), (3, 12000), (101, 1)])
@pytest.mark.parametrize("backend", ["h1", "h2"])
def test_too_large_trailers_of_responses(trailing, backend, count, size):
    path = f"/{backend}/{count}/{size}"
    peer = http2.dial(trailing.port)
    with peer.sock:
        response = peer.request(path)  # its head and body go if they came in time
        assert response.reset is not None and not response.ended
        record = trailing.log(path=path)
        assert record["outcome"] == "upstream_protocol_error"
        assert record["response_code_details"] == "trailers too large or too many"
        assert peer.request(f"/{backend}/1/1").trailers == [("x-0", "v")]


@pytest.mark.parametrize("count, size, passes", [(1, 8000, True), (32, 100, True), (1, 8400, False),
                                                 (33, 1, False)])
def test_trailers_of_requests(trailing, count, size, passes):
    path = f"/echo/{count}/{size}"
    peer = http2.dial(trailing.port)
    with peer.sock:
        number = peer.open(path, "POST", end=False)
        peer.send_body(number, b"body", end=False)
        peer.send_head(number, trailers_of(path), True)
        response = peer.finish(number)
        if passes:
            assert len(json.loads(response.body)["trailers"]) == count
        else:
            assert response.reset is not None
            record = trailing.log(path=path)
            assert record["outcome"] == "downstream_protocol_error"
            assert record["response_code_details"] == "trailers too large or too many"
    lines = "".join(f"{n}: {v}\r\n" for n, v in trailers_of(path))
    with connect(trailing.port) as s:
        s.sendall(f"POST {path} HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"
                  f"4\r\nbody\r\n0\r\n{lines}\r\n".encode())
        response = Stream(s).response()
    assert response.status == (200 if passes else 400)
    if passes:
        assert len(json.loads(response.body)["trailers"]) == count
