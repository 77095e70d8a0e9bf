# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 with clients and backends, mixed with HTTP/1.1."""
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

import http2
import manifests as m
from h2site import h2_dial, serve
from origin import http_handler, server_context
from wire import Stream, client_context, connect, connect_tls, free_port, request, wait_until

BACKENDS = ["h1", "h2", "h1s", "h2s"]  # s: over TLS
CLIENTS = ["h1", "h2", "h1s", "h2s"]


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins, certs):
    """/h1, /h2, /h1s and /h2s go to a backend of that kind."""
    gateway = module_gateways({"h2_requests_per_connection_max": "2000"})
    gateway.tls_port = free_port()
    gateway.certs = certs
    gateway.h2 = module_origins(http2.handler())
    gateway.write([
        m.gateway([m.listener("http", gateway.port),
                   m.listener("https", gateway.tls_port, "HTTPS", certs=["a"])]),
        m.http_route("r", [m.rule(f"/{name}", [name]) for name in BACKENDS]),
        *m.service("h1", module_origins(http_handler).port),
        *m.h2_service("h2", gateway.h2.port),
        *m.service("h1s", module_origins(http_handler, server_context(certs.echo)).port),
        *m.h2_service("h2s", module_origins(http2.handler(),
                                            server_context(certs.echo, alpn=["h2"])).port),
        m.backend_tls("h1s", "h1s", "echo.test", "ca"),
        m.backend_tls("h2s", "h2s", "echo.test", "ca"),
        m.config_map("ca", certs.ca), m.secret("a", certs.a)])
    return gateway.start()


def ask(gateway, client, target, method="GET", body=None, fields=()):
    """One request by a client of that kind; what the backend saw of it."""
    if client.startswith("h1"):
        sock = (connect_tls(gateway.tls_port, "a.test", gateway.certs.ca) if client == "h1s"
                else connect(gateway.port))
        with sock:
            response = request(gateway.port, target, method, fields=fields, body=body, sock=sock)
        assert response.status == 200
        return json.loads(response.body)
    peer = h2_dial(gateway, client)
    with peer.sock:
        scheme = "https" if client == "h2s" else "http"
        message = peer.request(target, method, body, fields, scheme=scheme)
    assert message.reset is None and message.status == 200
    return json.loads(message.body)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("client", CLIENTS)
def test_every_mix(gw, client, backend):
    body = os.urandom(300000)
    seen = ask(gw, client, f"/{backend}/x?y=1", "POST", body,
               [("x-one", "1"), ("cookie", "a=b"), ("cookie", "c=d")])
    names = [n.lower() for n, _ in seen["fields"]]
    fields = {n.lower(): v for n, v in seen["fields"]}
    assert seen["method"] == "POST" and seen["target"] == f"/{backend}/x?y=1"
    assert seen["length"] == len(body) and seen["sha256"] == hashlib.sha256(body).hexdigest()
    assert fields["x-one"] == "1" and fields["x-forwarded-for"] == "127.0.0.1"
    assert fields["x-forwarded-proto"] == ("https" if client.endswith("s") else "http")
    assert not {"connection", "keep-alive", "upgrade", "te"} & set(names)
    if backend.startswith("h2"):
        assert seen["authority"] == "a.test" and "host" not in names
        assert seen["scheme"] == ("https" if backend == "h2s" else "http")
    else:
        assert fields["host"] == "a.test"
    if client.startswith("h2") and backend.startswith("h1"):
        assert fields["cookie"] == "a=b; c=d" and names.count("cookie") == 1
    record = gw.log(path=f"/{backend}/x?y=1", protocol="HTTP/2" if "h2" in client else "HTTP/1.1")
    assert record["upstream_protocol"] == ("HTTP/2" if "h2" in backend else "HTTP/1.1")


@pytest.mark.parametrize("backend", BACKENDS)
def test_head_and_empty_answers(gw, backend):
    peer = h2_dial(gw)
    with peer.sock:
        message = peer.request(f"/{backend}/head", "HEAD")
        assert message.status == 200 and message.body == b""
        assert message.get("date") and message.get("connection") is None


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_curl(gw, certs, tls):
    args = ["--http2-prior-knowledge", f"http://127.0.0.1:{gw.port}/h1"]
    if tls:
        args = ["--http2", "--cacert", certs.ca.cert, f"https://127.0.0.1:{gw.tls_port}/h1"]
    out = subprocess.run(["curl", "-sS", "-w", "%{http_version} %{http_code}", "-o", "/dev/null",
                          *args], capture_output=True, text=True, check=False, timeout=60)
    assert out.stdout == "2 200", out.stderr


@pytest.mark.parametrize("backend", ["h1", "h2s"])
def test_curl_fetches_200_objects(gw, certs, tmp_path, backend):
    """A page with all its objects: one connection, each answer in its place."""
    out = subprocess.run(
        ["curl", "-sS", "--http2", "--cacert", certs.ca.cert, "--parallel", "--parallel-max", "100",
         "-w", "%{http_version} %{http_code} %{num_connects}\\n", "-o", f"{tmp_path}/#1",
         f"https://localhost:{gw.tls_port}/{backend}/[0-199]"],
        capture_output=True, text=True, check=False, timeout=120)
    results = out.stdout.splitlines()
    assert sorted(results) == ["2 200 0"] * 199 + ["2 200 1"], out.stderr
    for i in range(200):
        assert json.loads((tmp_path / str(i)).read_text())["target"] == f"/{backend}/{i}"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_nghttp(gw, tls):
    if shutil.which("nghttp") is None:
        pytest.skip("nghttp is not installed (nghttp2-client)")
    site = f"https://127.0.0.1:{gw.tls_port}" if tls else f"http://127.0.0.1:{gw.port}"
    out = subprocess.run(["nghttp", "-nv", *(f"{site}/{backend}" for backend in BACKENDS)],
                         capture_output=True, text=True, check=False, timeout=60)
    assert out.returncode == 0 and "rst_stream" not in out.stdout.lower(), out.stdout
    assert out.stdout.count(":status: 200") == len(BACKENDS), out.stdout
    goaways = re.findall(r"recv GOAWAY.*\n.*\n", out.stdout)
    assert all("NO_ERROR" in goaway for goaway in goaways), out.stdout


def test_no_protocol_in_common(gw, certs):
    with pytest.raises(OSError, match="(?i)no application protocol"):
        connect_tls(gw.tls_port, "a.test", certs.ca, alpn=["h3", "spdy/3"])


def test_upgrade_to_h2c_is_not_taken(gw):
    """RFC 9113 3.1: the header is deprecated; the request is one of HTTP/1.1."""
    with connect(gw.port) as s:
        fields = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"),
                  ("HTTP2-Settings", "AAMAAABkAAQAAP__")]
        for _ in range(2):
            response = request(gw.port, "/h1/upgrade", fields=fields, sock=s)
            assert response.status == 200
            names = {n.lower() for n, _ in json.loads(response.body)["fields"]}
            assert not {"upgrade", "http2-settings", "connection"} & names


@pytest.mark.parametrize("pieces", [1, 3, 24])
def test_the_preface_in_pieces(gw, pieces):
    peer = http2.Peer(connect(gw.port), preface=False)
    with peer.sock:
        peer.h2.initiate_connection()
        data = peer.h2.data_to_send()
        for i in range(0, 24, 24 // pieces):
            peer.sock.sendall(data[i:i + 24 // pieces])
            time.sleep(0.005)
        peer.sock.sendall(data[24:])
        assert peer.request("/h1").status == 200


def test_nearly_a_preface_is_http1(gw):
    with connect(gw.port) as s:
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nXX")
        assert Stream(s).response().status in (400, 405, 501, 505)
    with connect(gw.port) as s:
        s.sendall(b"P")
        time.sleep(0.05)
        s.sendall(b"OST /h1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n")
        assert Stream(s).response().status == 200


def test_many_streams_share_few_backend_connections(gw):
    before, dials = len(gw.h2.connections), gw.metric("ringgate_upstream_connects_total")
    peer = h2_dial(gw)
    with peer.sock:
        numbers = [peer.open(f"/h2/{i}") for i in range(100)]
        for i, number in enumerate(numbers):
            message = peer.finish(number)
            assert message.status == 200 and json.loads(message.body)["target"] == f"/h2/{i}"
    assert len(gw.h2.connections) - before <= 1
    assert gw.metric("ringgate_upstream_connects_total") - dials <= 1


def test_local_answers(gw):
    peer = h2_dial(gw)
    with peer.sock:
        message = peer.request("/nowhere")
        assert message.status == 404 and b"route_not_found" in message.body
        message = peer.request("/h1", "TRACE")
        assert message.status == 405 or message.reset is not None
        assert peer.request("/h1").status == 200  # the connection goes on


def test_a_flood_is_named(gw):
    peer = h2_dial(gw)
    with peer.sock:
        peer.until(lambda: peer.h2.remote_settings)
        try:
            for _ in range(100000):  # of which 100 a second are free
                peer.h2.ping(b"12345678")
                peer.flush()
        except OSError:
            pass
        with contextlib.suppress(OSError):
            while peer.pump():
                pass
        assert (11, 0) in peer.goaways or peer.goaways == []
    record = gw.log(outcome="downstream_flood")
    assert record["kind"] == "connection" and record["response_flags"] == "DFL"
    assert "control" in record["response_code_details"]
    assert gw.metric('ringgate_outcomes_total{outcome="downstream_flood"}') >= 1


# Streams in detail: backends that do what the test says.


def trailers_h1(sock, _origin):
    stream = Stream(sock)
    while True:
        _, fields = stream.head()
        trailers = stream.chunked()[1]
        value = dict((n.lower(), v) for n, v in trailers)["x-check"]
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Back\r\n\r\n"
                     b"2\r\nok\r\n0\r\nX-Back: " + value.encode() + b"\r\n\r\n")


def trailers_h2(peer, number):
    value = dict(peer.stream(number).trailers)["x-check"]
    peer.send_head(number, [(":status", "200")])
    peer.send_body(number, b"ok", end=False)
    peer.send_head(number, [("x-back", value)], end=True)


@pytest.mark.parametrize("client", ["h1", "h2"])
@pytest.mark.parametrize("backend", ["h1", "h2"])
def test_trailers_both_ways(gateways, origins, certs, client, backend):
    objects = (m.service("b", origins(trailers_h1).port) if backend == "h1" else
               m.h2_service("b", origins(http2.handler(trailers_h2)).port))
    gateway = serve(gateways, certs, objects)
    if client == "h1":
        with connect(gateway.port) as s:
            s.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                      b"3\r\nabc\r\n0\r\nX-Check: 1\r\n\r\n")
            response = Stream(s).response()
        assert response.body == b"ok"
        assert [(n.lower(), v) for n, v in response.trailers] == [("x-back", "1")]
        return
    peer = h2_dial(gateway)
    with peer.sock:
        number = peer.open("/", "POST", end=False)
        peer.send_body(number, b"abc", end=False)
        peer.send_head(number, [("x-check", "1")], end=True)
        message = peer.finish(number)
        assert message.body == b"ok" and message.trailers == [("x-back", "1")]


def interim_h1(sock, _origin):
    stream = Stream(sock)
    _, fields = stream.head()
    names = {n.lower() for n, _ in fields}
    sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    if "expect" in names:
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = stream.chunked()[0] if "transfer-encoding" in names else stream.exactly(4)
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + body)


def interim_h2(peer, number):
    message = peer.stream(number)
    peer.send_head(number, [(":status", "103"), ("link", "</a>")])
    if message.get("expect"):
        peer.send_head(number, [(":status", "100")])
    peer.until(lambda: message.ended)
    peer.send_head(number, [(":status", "200")])
    peer.send_body(number, message.body)
    return True


@pytest.mark.parametrize("client", ["h1", "h2"])
@pytest.mark.parametrize("backend", ["h1", "h2"])
def test_interim_answers(gateways, origins, certs, client, backend):
    objects = (m.service("b", origins(interim_h1).port) if backend == "h1" else
               m.h2_service("b", origins(http2.handler(at_head=interim_h2)).port))
    gateway = serve(gateways, certs, objects)
    if client == "h1":
        with connect(gateway.port) as s:
            s.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                      b"Content-Length: 4\r\n\r\n")
            stream = Stream(s)
            assert [stream.head()[0].split(" ")[1] for _ in range(2)] == ["103", "100"]
            s.sendall(b"body")
            assert stream.response().body == b"body"
        return
    peer = h2_dial(gateway)
    with peer.sock:
        number = peer.open("/", "POST", fields=[("expect", "100-continue")], end=False)
        message = peer.stream(number)
        peer.until(lambda: len(message.interim) == 2)
        assert [dict(i)[":status"] for i in message.interim] == ["103", "100"]
        peer.send_body(number, b"body")
        assert peer.finish(number).body == b"body"


SIZE = 4 << 20


def large_h1(sock, _origin):
    stream = Stream(sock)
    while True:
        stream.head()
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE + b"x" * SIZE)


def large_h2(peer, number):
    peer.send_head(number, [(":status", "200")])
    peer.queue(number, b"x" * SIZE)


@pytest.mark.parametrize("backend", ["h1", "h2"])
def test_a_slow_stream_does_not_stop_others(gateways, origins, certs, backend):
    objects = (m.service("b", origins(large_h1).port) if backend == "h1" else
               m.h2_service("b", origins(http2.handler(large_h2)).port))
    gateway = serve(gateways, certs, objects)
    before = gateway.memory_kib()
    peer = h2_dial(gateway)
    with peer.sock:
        slow = peer.open("/slow")
        peer.hold.add(slow)
        peer.until(lambda: len(peer.stream(slow).body) >= 65535)
        # The windows of the connection are for all: let that of the others through.
        peer.h2.increment_flow_control_window(1 << 20)
        peer.flush()
        fast = peer.finish(peer.open("/fast"))
        assert len(fast.body) == SIZE and not peer.stream(slow).ended
        assert len(peer.stream(slow).body) == 65535
        assert gateway.memory_kib() - before < 4096
        peer.credit(slow)
        peer.flush()
        assert len(peer.finish(slow).body) == SIZE


@pytest.mark.parametrize("client", ["h1", "h2"])
@pytest.mark.parametrize("backend", ["h1", "h2"])
def test_a_backend_that_does_not_read_stops_the_client(gateways, origins, certs, client, backend):
    go = threading.Event()

    def slow_h1(sock, origin):
        stream = Stream(sock)
        stream.head()
        assert go.wait(20)
        body = stream.chunked()[0] if client == "h2" else stream.exactly(SIZE)
        sha = hashlib.sha256(body).hexdigest().encode()
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + sha)

    def slow_h2(peer, number):
        peer.hold.add(number)
        assert go.wait(20)
        peer.credit(number)
        peer.flush()
        return False

    def answer(peer, number):
        peer.send_head(number, [(":status", "200")])
        peer.send_body(number, hashlib.sha256(peer.stream(number).body).hexdigest().encode())

    objects = (m.service("b", origins(slow_h1).port) if backend == "h1" else
               m.h2_service("b", origins(http2.handler(answer, slow_h2)).port))
    gateway = serve(gateways, certs, objects, {"body_rate_min": "0"})
    body, sent, result = os.urandom(SIZE), [0], []

    def send_h1():
        with connect(gateway.port) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
            s.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE)
            for i in range(0, SIZE, 16384):
                s.sendall(body[i:i + 16384])
                sent[0] = i
            result.append(Stream(s).response().body)

    def send_h2():
        peer = h2_dial(gateway)
        with peer.sock:
            number = peer.open("/", "POST", end=False)
            for i in range(0, SIZE, 16384):
                peer.send_body(number, body[i:i + 16384], end=i + 16384 == SIZE)
                sent[0] = i
            result.append(peer.finish(number).body)

    thread = threading.Thread(target=send_h1 if client == "h1" else send_h2)
    thread.start()
    mark = [-1]

    def at_rest():
        last, mark[0] = mark[0], sent[0]
        time.sleep(0.3)
        return last == sent[0] > 0

    wait_until(at_rest, "the client to be stopped")
    if backend == "h2":  # else the sockets alone may hold it all
        assert sent[0] < 3 << 20
    go.set()
    thread.join(20)
    assert result == [hashlib.sha256(body).hexdigest().encode()]


def test_the_client_gives_up_one_stream(gateways, origins, certs):
    seen = threading.Event()

    def never(peer, number):
        if peer.stream(number).get(":path") == "/never":
            message = peer.stream(number)
            peer.until(lambda: message.reset is not None)
            seen.set()
            return True
        return False

    gateway = serve(gateways, certs, m.h2_service("b", origins(http2.handler(at_head=never)).port))
    peer = h2_dial(gateway)
    with peer.sock:
        number = peer.open("/never")
        time.sleep(0.1)
        peer.h2.reset_stream(number, 8)
        peer.flush()
        assert seen.wait(20)
        assert peer.request("/other").status == 200
    assert gateway.log(path="/never")["outcome"] == "downstream_closed"


def test_drain_with_goaway(gateways, origins, certs):
    go = threading.Event()

    def wait(sock, _origin):
        stream = Stream(sock)
        stream.head()
        assert go.wait(20)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    gateway = serve(gateways, certs, m.service("b", origins(wait).port), {"drain_timeout": "20s"})
    busy, idle = h2_dial(gateway), h2_dial(gateway, "h2s")
    with busy.sock, idle.sock:
        number = busy.open("/")
        idle.until(lambda: idle.h2.remote_settings)
        time.sleep(0.2)
        gateway.signal(signal.SIGTERM)
        busy.until(lambda: busy.goaways)
        while idle.pump():
            pass
        assert idle.goaways and idle.goaways[-1][0] == 0
        go.set()
        message = busy.finish(number)
        assert message.status == 200 and message.body == b"ok"
        while busy.pump():
            pass
        assert all(code == 0 for code, _ in busy.goaways)
    assert gateway.wait() == 0
    assert gateway.log(path="/")["outcome"] == "ok"


def test_requests_that_cross_goaway(gateways, origins, certs):
    """Sent before the client knew of the drain: it is served, or left to be sent elsewhere."""
    gateway = serve(gateways, certs, m.service("b", origins().port), {"drain_timeout": "20s"})
    peer, kept = h2_dial(gateway), connect(gateway.port)
    with peer.sock, kept:
        assert peer.request("/").status == 200
        kept.sendall(b"GET /h1 HTTP/1.1\r\nHost: a.test\r\n")
        held = peer.open("/held", "POST", end=False)
        gateway.log(path="/")
        gateway.signal(signal.SIGTERM)
        wait_until(lambda: refuses(gateway.port), "the end of accepting")
        number = peer.open("/late")  # nothing was read yet
        kept.sendall(b"\r\n")
        assert Stream(kept).response().status == 200
        message = peer.stream(number)
        peer.until(lambda: message.ended or any(last < number for _, last in peer.goaways))
        assert not message.ended or message.status == 200
        peer.send_body(held, b"body")
        assert peer.finish(held).status == 200
    assert gateway.wait() == 0


def refuses(port):
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        pass
    return False


def test_reload_changes_nothing_for_open_connections(gateways, origins, certs):
    origin = origins()
    gateway = serve(gateways, certs, m.service("b", origin.port))
    peer = h2_dial(gateway)
    with peer.sock:
        assert peer.request("/one").status == 200
        gateway.apply([m.http_route("more", [m.rule("/more", ["b"])])], "more.yaml")
        assert peer.request("/two").status == 200 and not peer.goaways


def test_listener_that_goes_away_drains(gateways, origins, certs):
    origin = origins()
    gateway = serve(gateways, certs, m.service("b", origin.port))
    peer = h2_dial(gateway)
    with peer.sock:
        assert peer.request("/").status == 200
        gateway.apply([m.gateway([m.listener("https", gateway.tls_port, "HTTPS", certs=["a"])]),
                       m.http_route("r", [m.rule("/", ["b"])]), *m.service("b", origin.port),
                       m.secret("a", certs.a)])
        while peer.pump():
            pass
        assert peer.goaways and peer.goaways[-1][0] == 0


MISDIRECTED = [  # SNI, host, status: gatewayapi HTTPRouteHTTPSListenerDetectMisdirectedRequests
    ("example.org", "example.org", 200), ("example.org", "second-example.org", 421),
    ("example.org", "unknown-example.org", 404),
    ("second-example.org", "second-example.org", 200), ("second-example.org", "example.org", 421),
    ("second-example.org", "unknown-example.org", 421),
    ("third.wildcard.org", "third.wildcard.org", 200),
    ("third.wildcard.org", "fith.wildcard.org", 200),
    ("third.wildcard.org", "fourth.wildcard.org", 421),
    ("third.wildcard.org", "second-example.org", 421),
    ("third.wildcard.org", "unknown-example.org", 421),
    ("fourth.wildcard.org", "fourth.wildcard.org", 200),
    ("fourth.wildcard.org", "fith.wildcard.org", 421),
    ("unknown-example.org", "example.org", 200),
    ("unknown-example.org", "unknown-example.org", 404)]


def test_misdirected_requests_by_stream(gateways, origins, certs):
    gateway, origin = gateways(), origins()
    names = {"second": "second-example.org", "wild": "*.wildcard.org",
             "fourth": "fourth.wildcard.org"}
    hosts = ["example.org", *names.values()]
    gateway.write([
        m.gateway([m.listener("any", gateway.port, "HTTPS", certs=["a"]),
                   *[m.listener(n, gateway.port, "HTTPS", h, ["a"]) for n, h in names.items()]]),
        m.http_route("r", [m.rule("/", ["one"])], hosts),
        *m.service("one", origin.port), m.secret("a", certs.a)])
    gateway.start()
    context = client_context(certs.ca)
    context.check_hostname = False
    peers = {}
    for sni, host, status in MISDIRECTED:
        if sni not in peers:
            peers[sni] = http2.dial_tls(gateway.port, context, sni)
        message = peers[sni].request("/", host=host, scheme="https")
        assert (sni, host, message.status) == (sni, host, status)
    for peer in peers.values():
        peer.sock.close()


def test_an_answer_before_the_request_has_ended(gateways, origins, certs):
    def early_h1(sock, _origin):
        Stream(sock).head()
        sock.sendall(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        sock.recv(1)

    def early_h2(peer, number):
        peer.send_head(number, [(":status", "413")])
        peer.send_body(number, b"no")
        return True

    for objects in (m.service("b", origins(early_h1).port),
                    m.h2_service("b", origins(http2.handler(at_head=early_h2)).port)):
        gateway = serve(gateways, certs, objects)
        peer = h2_dial(gateway)
        with peer.sock:
            number = peer.open("/", "POST", end=False)
            message = peer.finish(number)
            assert message.status == 413 and message.body == b"no"
            peer.until(lambda: message.reset is not None)
            assert message.reset == 0  # RFC 9113 8.1: the rest is not wanted
        assert gateway.log(path="/")["outcome"] == "ok"


def test_behind_a_proxy_header(gateways, origins, certs):
    gateway, origin = gateways({"trusted_cidrs": "127.0.0.0/8"}), origins()
    gateway.tls_port = free_port()
    gateway.certs = certs
    gateway.write([
        m.gateway([m.listener("http", gateway.port),
                   m.listener("https", gateway.tls_port, "HTTPS", certs=["a"])],
                  annotations={"ringgate.dev/proxy-protocol": "true"}),
        m.http_route("r", [m.rule("/", ["b"])]), *m.service("b", origin.port),
        m.secret("a", certs.a)])
    gateway.start()
    header = b"PROXY TCP4 192.0.2.7 127.0.0.1 1234 80\r\n"
    context = client_context(certs.ca, alpn=["h2"])
    for tls in (False, True):
        sock = connect(gateway.tls_port if tls else gateway.port)
        sock.sendall(header)
        peer = http2.Peer(context.wrap_socket(sock, server_hostname="a.test") if tls else sock)
        with peer.sock:
            assert peer.request("/", scheme="https" if tls else "http").status == 200
    assert origin.data.count(b"192.0.2.7") == 2


@pytest.mark.parametrize("trusted", [True, False])
def test_scheme_of_a_proxy(gateways, origins, trusted):
    """One that ends TLS in front of us passes on what its client said (RFC 9113 8.3.1)."""
    gateway, origin = gateways({"trusted_cidrs": "127.0.0.0/8"} if trusted else {}), origins()
    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["b"])]), *m.service("b", origin.port)])
    gateway.start()
    peer = h2_dial(gateway, "h2")
    with peer.sock:
        assert peer.request("/", scheme="https").status == (200 if trusted else 400)
        assert peer.request("/", scheme="ftp").status == 400
    assert origin.data.count(b"x-forwarded-proto: https") == trusted
