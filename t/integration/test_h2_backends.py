# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 backends that are broken, hostile or going away, at every point of a response."""
import socket

import pytest

import h2wire as h
import manifests as m
from origin import http_answer, read_request
from wire import Stream, connect, request, wait_until

HALF = b"x" * 500


def head(stream, *more, status="200", end=False):
    return h.headers(stream, [(":status", status), *more], end)


def after(*points):
    """A backend that, once it has a request, does the points: functions of (server, stream)."""

    def serve(sock, _origin):
        server = h.Server(sock)
        while True:
            got = server.request()
            if got is None:
                return
            for point in points:
                if point(server, got[0]) is False:
                    return

    return serve


def sends(*frames):
    """frames: functions of the stream's number."""
    return lambda server, stream: server.send(*(f(stream) for f in frames)) and None


def closes(server, _stream):
    server.sock.shutdown(socket.SHUT_RDWR)
    return False


def resets_connection(server, _stream):
    server.sock.reset()
    return False


def rst(code):
    return lambda stream: h.number(h.RST_STREAM, stream, code)


def data(payload, end=False):
    return lambda stream: h.frame(h.DATA, h.END_STREAM if end else 0, stream, payload)


def answer_head(*more, **kind):
    return lambda stream: head(stream, *more, **kind)


LENGTH = ("content-length", "1000")
POINTS = {"before": [], "head": [answer_head(LENGTH)], "half": [answer_head(LENGTH), data(HALF)],
          "interim": [answer_head(status="103")]}
ENDS = {"rst-internal": sends(rst(h.INTERNAL_ERROR)), "rst-cancel": sends(rst(h.CANCEL)),
        "rst-no-error": sends(rst(h.NO_ERROR)), "rst-unknown": sends(rst(0xdead)),
        "close": closes, "reset": resets_connection,
        "garbage": sends(lambda _: b"\xff" * 64),
        "goaway-error": lambda s, n: (s.send(h.goaway(n, h.INTERNAL_ERROR)), closes(s, n))[1]}


def flood(piece, count):
    def send(server, stream):
        server.quiet = True
        server.flood(lambda i: piece(stream, i), count)
    return send


BAD_HEADS = {
    "status-099": lambda n: head(n, status="099"),
    "status-999": lambda n: head(n, status="999"),
    "status-101": lambda n: head(n, status="101"),
    "status-text": lambda n: head(n, status="2xx"),
    "status-long": lambda n: head(n, status="0200"),
    "status-none": lambda n: h.headers(n, [("x", "1")], False),
    "status-twice": lambda n: head(n, (":status", "200")),
    "request-field": lambda n: head(n, (":path", "/")),
    "status-late": lambda n: h.headers(n, [("x", "1"), (":status", "200")], False),
    "value-crlf": lambda n: head(n, ("x", "1\r\nset-cookie: a=b")),
    "value-nul": lambda n: head(n, ("x", "a\0b")),
    "value-lf": lambda n: head(n, ("x", "a\nb")),
    "value-space": lambda n: head(n, ("x", " a")),
    "name-upper": lambda n: head(n, ("X", "1")),
    "name-space": lambda n: head(n, ("x y", "1")),
    "name-crlf": lambda n: head(n, ("x\r\ny", "1")),
    "connection": lambda n: head(n, ("connection", "close")),
    "transfer-encoding": lambda n: head(n, ("transfer-encoding", "chunked")),
    "length-twice": lambda n: head(n, LENGTH, LENGTH),
    "length-bad": lambda n: head(n, ("content-length", "+1")),
    "length-without-body": lambda n: head(n, LENGTH, end=True),
    "length-of-204": lambda n: head(n, LENGTH, status="204"),
    "interim-ends": lambda n: head(n, status="100", end=True),
    "data-first": lambda n: h.frame(h.DATA, 0, n, b"early"),
    "fields-too-many": lambda n: head(n, *((f"x-{i}", "1") for i in range(120))),
    "interims": lambda n: head(n, status="103") * 100,
    "push": lambda n: h.frame(h.PUSH_PROMISE, h.END_HEADERS, n, b"\0\0\0\2" +
                              h.raw_block(h.request_fields("/pushed"))),
    "http1": lambda _: b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
}
FLOODS = {
    "ping": lambda _, i: h.frame(h.PING, 0, 0, b"12345678"),
    "settings": lambda _, i: h.settings((h.INITIAL_WINDOW_SIZE, i % 2 * 0x7fffffff)),
    "altsvc": lambda _, i: h.frame(h.ALTSVC, 0, 0, b"\0\1ab"),
    "origin": lambda _, i: h.frame(h.ORIGIN, 0, 0, b"\0\1a"),
    "unknown": lambda _, i: h.frame(0xee, 0, 0, b"?"),
    "window-update": lambda _, i: h.number(h.WINDOW_UPDATE, 0, 1),
    "continuation": lambda n, i: (h.frame(h.HEADERS, 0, n, b"") if i == 0 else b"") +
                                 h.frame(h.CONTINUATION, 0, n),
    "crumbs": lambda n, i: (h.frame(h.HEADERS, 0, n, h.raw_block([(":status", "200")]))
                            if i == 0 else b"") +
                           h.frame(h.CONTINUATION, 0, n, h.raw_block([("x", "v" * 4000)])),
}


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins):
    backends = {"good": h.good_handler}
    for point, before in POINTS.items():
        for end, how in ENDS.items():
            backends[f"{point}-{end}"] = after(sends(*before), how) if before else after(how)
    for name, wrong in BAD_HEADS.items():
        backends[name] = after(sends(wrong))
    for name, piece in FLOODS.items():
        backends[f"flood-{name}"] = after(flood(piece, 50000))
    backends["late-flood"] = after(sends(answer_head(), data(b"ok", True)),
                                   flood(lambda n, i: rst(h.CANCEL)(n), 5000))
    backends["short"] = after(sends(answer_head(LENGTH), data(HALF, True)))
    backends["long"] = after(sends(answer_head(LENGTH), data(HALF * 3)))
    backends["refuses"] = after(sends(rst(h.REFUSED_STREAM)))
    backends["leaves"] = after(lambda s, n: (s.send(h.goaway(0)), closes(s, n))[1])
    backends["silent"] = after()
    gateway = module_gateways()
    gateway.origins = {name: module_origins(handler, name=name)
                       for name, handler in backends.items()}
    names = list(backends)
    more = {"silent": {"timeouts": {"backendRequest": "2s"}}}
    objects = [m.gateway([m.listener("http", gateway.port)])]
    for at in range(0, len(names), 16):
        objects.append(m.http_route(f"r{at}", [m.rule(f"/{n}", [n], **more.get(n, {}))
                                               for n in names[at:at + 16]]))
    for name in names:
        objects += m.h2_service(name, gateway.origins[name].port)
    for name in ("refuses", "leaves"):
        ports = [gateway.origins[name].port, gateway.origins["good"].port]
        objects += m.h2_service(f"{name}-or-good", *ports)
    objects.append(m.http_route("pairs", [m.rule(f"/{n}-or-good", [f"{n}-or-good"])
                                          for n in ("refuses", "leaves")]))
    gateway.write(objects)
    return gateway.start()


def get(gateway, target):
    """(status, whether the answer was whole), by a client of each version."""
    with h.Client(gateway.port) as client:
        answer = client.get(target)
    with connect(gateway.port) as s:
        s.sendall(f"GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode())
        try:
            stream = Stream(s)
            line, fields = stream.head()
            while line.split(" ")[1].startswith("1"):
                line, fields = stream.head()
            names = {n.lower(): v for n, v in fields}
            status, whole = int(line.split(" ")[1]), True
            try:
                stream.exactly(int(names["content-length"]))
            except EOFError:
                whole = False
        except EOFError:
            status, whole = None, False
    if answer.status is not None:
        assert status == answer.status and whole == answer.ended
    return status, whole


def outcome(gateway, target):
    return gateway.log(path=target)["outcome"]


def still_serves(gateway):
    assert request(gateway.port, "/good").body == b"/good"


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("point", POINTS)
def test_ends(gw, point, end):
    """Before a response there is one of ours; inside one it is seen to be cut."""
    target = f"/{point}-{end}"
    status, whole = get(gw, target)
    if point in ("before", "interim"):
        assert whole and status in (502, 503)
        assert outcome(gw, target) in ("upstream_reset_before_response", "upstream_protocol_error")
    else:
        assert status in (200, None) and not whole
        assert outcome(gw, target) in ("upstream_truncated_response", "upstream_protocol_error")
    still_serves(gw)


@pytest.mark.parametrize("name", BAD_HEADS)
def test_bad_heads(gw, name):
    status, whole = get(gw, f"/{name}")
    assert (status, whole) == (502, True)
    assert outcome(gw, f"/{name}") == "upstream_protocol_error"
    still_serves(gw)


@pytest.mark.parametrize("name", FLOODS)
def test_floods(gw, name):
    before = gw.memory_kib()
    status, whole = get(gw, f"/flood-{name}")
    assert (status, whole) == (502, True)
    assert outcome(gw, f"/flood-{name}") == "upstream_protocol_error"
    assert gw.memory_kib() - before < 8 << 10
    still_serves(gw)


def test_resets_of_what_is_over(gw):
    """They cost the connection, not the answers that were given."""
    for _ in range(3):
        before = gw.metric("ringgate_upstream_connections_open")
        with h.Client(gw.port) as client:
            assert client.get("/late-flood").body == b"ok"
        # Who came before its end would be asked on the connection that is about to break.
        wait_until(lambda n=before: gw.metric("ringgate_upstream_connections_open") <= n)
    still_serves(gw)


@pytest.mark.parametrize("name", ["short", "long"])
def test_wrong_length(gw, name):
    """A part must not be taken for the whole."""
    status, whole = get(gw, f"/{name}")
    assert status in (200, None) and not whole
    assert outcome(gw, f"/{name}") == "upstream_protocol_error"
    still_serves(gw)


@pytest.mark.parametrize("name", ["refuses", "leaves"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unprocessed_goes_elsewhere(gw, name, method):
    """REFUSED_STREAM, and a GOAWAY that leaves the request out: safe for any method."""
    asked = len(gw.origins[name].data)
    for i in range(8):
        target = f"/{name}-or-good/{i}"
        response = request(gw.port, target, method, body=b"abc" if method == "POST" else None)
        assert response.status == 200 and response.body == target.encode()
    assert len(gw.origins[name].data) > asked


@pytest.mark.parametrize("name", ["refuses", "leaves"])
def test_nowhere_else(gw, name):
    """Tried once more, not for ever."""
    before = len(gw.origins[name].connections)
    assert request(gw.port, f"/{name}").status in (502, 503)
    assert len(gw.origins[name].connections) - before <= 2
    still_serves(gw)


def test_goaway_lets_the_response_end(gateways, origins):
    """What the last identifier includes goes on; the next request has a new connection."""

    def leaving(sock, _origin):
        server = h.Server(sock)
        stream = server.request()[0]
        server.send(head(stream), h.frame(h.DATA, 0, stream, b"one "), h.goaway(stream))
        server.send(h.frame(h.DATA, h.END_STREAM, stream, b"two"))
        while server.read() is not None:
            pass

    origin = origins(leaving)
    gateway = gateways()
    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["one"])]), *m.h2_service("one", origin.port)])
    gateway.start()
    for _ in range(5):
        with h.Client(gateway.port) as client:
            assert client.get("/").body == b"one two"
    assert len(origin.connections) == 5
    wait_until(lambda: gateway.metric("ringgate_upstream_connections_open") == 0, "their end")


def test_heads_that_a_backend_does_not_take(gateways, origins):
    """Refused here; they do not make connections that would not take them either."""

    def small(sock, _origin):
        server = h.Server(sock, (h.MAX_HEADER_LIST_SIZE, 2000))
        while (got := server.request()) is not None:
            server.respond(got[0])

    origin = origins(small)
    gateway = gateways()
    gateway.workers = 1
    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["one"])]), *m.h2_service("one", origin.port)])
    gateway.start()
    with h.Client(gateway.port) as client:
        assert client.get("/").body == b"ok"
        for _ in range(5):
            assert client.get("/large", ("x-large", "a" * 4000)).status == 431
        assert client.get("/").body == b"ok"
    assert gateway.log(path="/large")["response_code"] == 431
    assert len(origin.connections) == 1


@pytest.mark.parametrize("piece", [512, 1024, 4096])
def test_window_updates_for_what_was_taken(gateways, origins, piece):
    """A backend that takes uploads in small pieces gives each back with two frames, late."""

    def taking(sock, _origin):
        server = h.Server(sock, (h.INITIAL_WINDOW_SIZE, 1 << 20))
        server.send(h.number(h.WINDOW_UPDATE, 0, 1 << 20))
        left = {}
        while (got := server.read()) is not None:
            if got.kind != h.DATA:
                continue
            left[got.stream] = left.get(got.stream, 0) + len(got.payload)
            if left[got.stream] >= 1 << 19 or got.ended:
                pair = (h.number(h.WINDOW_UPDATE, 0, piece) +
                        h.number(h.WINDOW_UPDATE, got.stream, piece))
                server.send(pair * (left[got.stream] // piece))
                left[got.stream] %= piece
            if got.ended:
                server.respond(got.stream)

    origin = origins(taking)
    gateway = gateways()
    gateway.workers = 1
    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["one"])]), *m.h2_service("one", origin.port)])
    gateway.start()
    for _ in range(3):
        assert request(gateway.port, "/", "POST", body=b"u" * (4 << 20)).body == b"ok"
    assert len(origin.connections) == 1


def test_silence(gw):
    assert get(gw, "/silent") == (504, True)
    assert outcome(gw, "/silent") == "upstream_timeout"
    still_serves(gw)


WRONG = {
    "internal": lambda n: h.number(h.RST_STREAM, n, h.INTERNAL_ERROR),
    "cancel": lambda n: h.number(h.RST_STREAM, n, h.CANCEL),
    "refused": lambda n: h.number(h.RST_STREAM, n, h.REFUSED_STREAM),
    "malformed": lambda n: head(n, status="999"),
    "interims": lambda n: head(n, status="103") * 16 + head(n, status="502", end=True),
    "late-resets": lambda n: head(n, status="502", end=True) + h.number(h.RST_STREAM, n, 0) * 16,
}


@pytest.mark.parametrize("name", WRONG)
def test_what_others_ask_for(gateways, origins, name):
    """However often a client asks for what a backend answers so, others who have a request on the
    same connection keep it."""

    def mixed(sock, _origin):
        server = h.Server(sock)
        while (got := server.read()) is not None:
            if got.kind == h.HEADERS and got.ended:
                server.send(WRONG[name](got.stream))
            elif got.ended:
                server.respond(got.stream, b"whole")

    origin = origins(mixed)
    gateway = gateways()
    gateway.workers = 1
    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["one"])]), *m.h2_service("one", origin.port)])
    gateway.start()
    with h.Client(gateway.port) as victim, h.Client(gateway.port) as other:
        stream = victim.request("/upload", method="POST", end=False)
        victim.send(h.frame(h.DATA, 0, stream, b"first half"))
        wait_until(lambda: b"first half" in origin.data, "the upload at the backend")
        for i in range(300):
            assert other.get(f"/{i}").status in (502, 503)
        victim.send(h.frame(h.DATA, h.END_STREAM, stream, b"second half"))
        assert victim.answer(stream).body == b"whole"
    assert b"second half" in origin.connections[0]
    # Our own resets, and control frames, give the connection up for new requests.
    assert (len(origin.connections) == 1) == (name not in ("malformed", "late-resets"))


def test_cancelled_requests_of_many(gateways, origins):
    """They are spread over connections before a backend takes them for an attack."""
    origin = origins(lambda sock, o: h.Server(sock).end())
    gateway = gateways({"h2_resets_rate": "1"})
    gateway.workers = 1
    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["one"])]), *m.h2_service("one", origin.port)])
    gateway.start()
    for _ in range(6):
        with h.Client(gateway.port) as client:
            for i in range(50):
                client.request(f"/{i}")
            wait_until(lambda: gateway.metric("ringgate_http_requests_active") == 50, "all of them")
        wait_until(lambda: gateway.metric("ringgate_http_requests_active") == 0, "none")
    assert len(origin.connections) > 1


def test_raised_limits(gateways, origins):
    """As many interim responses and empty frames as the settings say, and not one more."""

    def talks(sock, _origin):
        server = h.Server(sock)
        while (got := server.request()) is not None:
            count = int(got[1][":path"].rsplit("/", 1)[1])
            server.send(head(got[0], status="103") * count, head(got[0]),
                        h.frame(h.DATA, 0, got[0]) * 40, h.frame(h.DATA, 1, got[0], b"whole"))

    def talks_http1(sock, _origin):
        stream = Stream(sock)
        while True:
            count = int(read_request(stream)[1].rsplit("/", 1)[1])
            sock.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n" * count)
            http_answer(sock, b"whole")

    gateway = gateways({"interim_responses_max": "40", "h2_empty_data_max": "40"})
    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["two"]), m.rule("/one", ["one"])]),
                   *m.h2_service("two", origins(talks).port),
                   *m.service("one", origins(talks_http1).port)])
    gateway.start()
    with h.Client(gateway.port) as client:
        for path in ("/", "/one/"):
            answer = client.get(f"{path}40")
            assert answer.body == b"whole" and answer.interims == [103] * 40
            assert client.get(f"{path}41").status == 502
        stream = client.request("/40", method="POST", end=False)
        client.send(h.frame(h.DATA, 0, stream) * 40, h.frame(h.DATA, 1, stream, b"x"))
        assert client.answer(stream).body == b"whole"
        stream = client.request("/40", method="POST", end=False)
        client.send(h.frame(h.DATA, 0, stream) * 41)
        assert client.end() == h.ENHANCE_YOUR_CALM


def test_one_bad_stream_of_many(gateways, origins):
    """A malformed response costs its own stream; others on the connection go on."""

    def mixed(sock, _origin):
        server = h.Server(sock)
        while True:
            got = server.request()
            if got is None:
                return
            if got[1][":path"] == "/bad":
                server.send(head(got[0], status="999"))
            else:
                server.respond(got[0])

    origin = origins(mixed)
    gateway = gateways()
    gateway.workers = 1
    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["one"])]), *m.h2_service("one", origin.port)])
    gateway.start()
    with h.Client(gateway.port) as client:
        for _ in range(5):
            bad, good = client.request("/bad"), client.request("/good")
            statuses = {}
            while len(statuses) < 2:
                got = client.expect(h.HEADERS)
                statuses[got.stream] = dict(got.fields)[":status"]
            assert statuses == {bad: "502", good: "200"}
    assert len(origin.connections) == 1
