# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 clients that cost more than they ask for (RFC 9113 10.5): each ends in a
named outcome, memory stays bounded, the next client is served."""
import select
import struct
import time

import pytest

import h2wire as h
import manifests as m
from origin import http_answer, read_request
from wire import Stream, connect, connect_tls, free_port, request, wait_until

BIG = 1 << 20


def page_handler(sock, _origin):
    """/big is a mebibyte, all else is small."""
    stream = Stream(sock)
    while True:
        method, target = read_request(stream)[:2]
        http_answer(sock, b"x" * BIG if target == "/big" else b"ok", head=method == "HEAD")


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins, certs):
    gateway = module_gateways({"header_timeout": "500ms", "write_timeout": "1s",
                               "idle_timeout": "1s"})
    gateway.tls_port = free_port()
    gateway.origin = module_origins(page_handler)
    gateway.write([
        m.gateway([m.listener("http", gateway.port),
                   m.listener("https", gateway.tls_port, "HTTPS", certs=["a"])]),
        m.http_route("r", [m.rule("/", ["one"])]),
        *m.service("one", gateway.origin.port), m.secret("a", certs.a)])
    gateway.start()
    gateway.certs = certs
    # Both workers have their memory now, so that what grows later is the attack's.
    for _ in range(8):
        with h.Client(gateway.port) as client:
            assert client.get("/big").status == 200
    return gateway


def requests_seen(gateway):
    """What the backend got; its threads may need a moment to read it."""
    count = -1
    while count != (now := gateway.origin.data.count(b" HTTP/1.1\r\n")):
        count = now
        time.sleep(0.05)
    return count


class Watched:
    """What an attack may not do to the gateway."""

    def __init__(self, gateway, *names, growth_kib=8192):
        self.gateway, self.names, self.growth_kib = gateway, names, growth_kib
        self.count = self.outcomes()
        self.memory = gateway.memory_kib()
        self.seen = requests_seen(gateway)

    def outcomes(self):
        return sum(self.gateway.metric(f'ringgate_outcomes_total{{outcome="{name}"}}')
                   for name in self.names)

    def over(self, requests_max=0):
        wait_until(lambda: self.outcomes() > self.count, f"one of the outcomes {self.names}")
        assert requests_seen(self.gateway) - self.seen <= requests_max
        assert self.gateway.memory_kib() - self.memory < self.growth_kib
        with h.Client(self.gateway.port) as client:
            assert client.get("/next").body == b"ok"
        assert request(self.gateway.port, "/next").status == 200


def rapid_reset(i):
    return (h.headers(2 * i + 1, h.request_fields("/reset")) +
            h.number(h.RST_STREAM, 2 * i + 1, h.CANCEL))


def window_overflow(i):
    """We reset the stream, by rule: the peer made us (CVE-2025-8671)."""
    return (h.headers(2 * i + 1, h.request_fields("/made")) +
            h.number(h.WINDOW_UPDATE, 2 * i + 1, 0x7fffffff))


def malformed(i):
    return h.headers(2 * i + 1, h.request_fields("/", ("X-Upper", "1")))


def crlf_in_value(i):
    return h.headers(2 * i + 1, h.request_fields("/", ("x", "1\r\nhost: b")))


def bad_length(i):
    return h.headers(2 * i + 1, h.request_fields("/", ("content-length", "5")))


def self_reset(i):
    """WINDOW_UPDATE of 0 on a stream is an error of the stream, RFC 9113 6.9."""
    return (h.headers(2 * i + 1, h.request_fields("/zero"), end=False) +
            h.number(h.WINDOW_UPDATE, 2 * i + 1, 0))


RESETS = [rapid_reset, window_overflow, malformed, crlf_in_value, bad_length, self_reset]


@pytest.mark.parametrize("piece", RESETS, ids=lambda p: p.__name__)
def test_resets(gw, piece):
    watched = Watched(gw, "downstream_flood")
    if piece is self_reset:  # may be an error of the connection at once
        watched = Watched(gw, "downstream_protocol_error")
    with h.Client(gw.port) as client:
        sent = client.flood(piece, 5000, batch=40, sync=True)
        code = client.end()
    assert code == (h.PROTOCOL_ERROR if piece is self_reset else h.ENHANCE_YOUR_CALM)
    assert sent < 5000
    watched.over(requests_max=230)


def test_rapid_reset_over_tls(gw):
    watched = Watched(gw, "downstream_flood")
    context_sock = connect_tls(gw.tls_port, "a.test", gw.certs.ca, alpn=["h2"])
    with h.Client(0, sock=context_sock) as client:
        def piece(i):
            return (h.headers(2 * i + 1, h.request_fields("/reset", scheme="https")) +
                    h.number(h.RST_STREAM, 2 * i + 1, h.CANCEL))
        client.flood(piece, 5000, batch=50)
        assert client.end() in (h.ENHANCE_YOUR_CALM, None)
    watched.over(requests_max=230)


def test_resets_within_the_limit(gw):
    """Eighty of them, as a browser leaves a page, cost nothing."""
    with h.Client(gw.port) as client:
        for i in range(80):
            client.send(rapid_reset(i))
        client.next = 161
        assert client.get("/after").body == b"ok"


def test_resets_after_answers(gw):
    """As curl 7.88 sends them after every answer, whole as it is: they take no work back."""
    with h.Client(gw.port) as client:
        for i in range(1500):
            stream = client.request("/", method="HEAD" if i % 2 else "GET")
            assert client.answer(stream).status == 200
            client.send(h.number(h.RST_STREAM, stream, 5))
        assert client.get("/after").body == b"ok"


@pytest.mark.parametrize("piece", [512, 1024, 4096])
def test_window_updates_for_what_was_taken(gw, piece):
    """Small pieces, late, as a reader takes them: two frames each (net/http of Go: 4 KiB)."""
    with h.Client(gw.port, (h.INITIAL_WINDOW_SIZE, 4 * BIG)) as client:
        client.send(h.number(h.WINDOW_UPDATE, 0, 4 * BIG))
        for _ in range(12 * piece // 1024):
            stream = client.request("/big")
            pair = h.number(h.WINDOW_UPDATE, 0, piece) + h.number(h.WINDOW_UPDATE, stream, piece)
            count, got = 0, None
            while got is None or not got.ended:
                got = client.read()
                assert got is not None, client.goaway
                count += len(got.payload) if got.kind == h.DATA else 0
            assert count == BIG
            client.send(pair * (BIG // piece))
        assert client.get("/after").body == b"ok"


def test_window_updates_for_more_than_was_taken(gw):
    watched = Watched(gw, "downstream_flood")
    with h.Client(gw.port) as client:
        client.get("/big")
        sent = client.flood(window_update, 50000)
        assert client.end() in (h.ENHANCE_YOUR_CALM, None)
    assert sent < 50000
    watched.over(requests_max=1)


def late_reset(_):
    return h.number(h.RST_STREAM, 1, h.CANCEL)


def test_resets_of_one_answer(gw):
    watched = Watched(gw, "downstream_flood")
    with h.Client(gw.port) as client:
        assert client.get("/").body == b"ok"
        sent = client.flood(late_reset, 50000)
        assert client.end() in (h.ENHANCE_YOUR_CALM, None)
    assert sent < 50000
    watched.over(requests_max=1)


def ping(_):
    return h.frame(h.PING, 0, 0, b"12345678")


def settings_churn(i):
    return h.settings((h.HEADER_TABLE_SIZE, 4096 * (i % 2)))


def window_flips(i):
    return h.settings((h.INITIAL_WINDOW_SIZE, 0x7fffffff * (i % 2)))


def settings_ack(_):
    return h.frame(h.SETTINGS, h.ACK)


def priority(i):
    return h.frame(h.PRIORITY, 0, 2 * (i % 1000) + 1001, b"\0\0\0\0\x10")


def window_update(_):
    return h.number(h.WINDOW_UPDATE, 0, 1)


def unknown(_):
    return h.frame(0xee, 0xff, 0, b"?")


def priority_update(_):
    return h.frame(0x10, 0, 0, b"\0\0\0\1u=1")


def empty_data(i):
    start = h.headers(1, h.request_fields("/x", method="POST"), end=False) if i == 0 else b""
    return start + h.frame(h.DATA, 0, 1)


def padding(i):
    start = h.headers(1, h.request_fields("/x", method="POST"), end=False) if i == 0 else b""
    return start + h.frame(h.DATA, h.PADDED, 1, b"\x03\0\0\0")


FRAMES = [ping, settings_churn, window_flips, settings_ack, priority, window_update, unknown,
          priority_update, empty_data, padding]


@pytest.mark.parametrize("piece", FRAMES, ids=lambda p: p.__name__)
def test_frames(gw, piece):
    expected = ["downstream_flood"]
    if piece is settings_ack:  # the second is an error, if it is not among too many
        expected.append("downstream_protocol_error")
    watched = Watched(gw, *expected)
    with h.Client(gw.port) as client:
        client.quiet = True
        sent = client.flood(piece, 50000)
        client.end()
    assert sent < 50000
    watched.over(requests_max=1)


def test_continuation_flood(gw):
    """Without an end: of a byte, of nothing, of all that a frame holds."""
    for payload in (b"", b"\0", h.raw_block([("x", "v" * 16000)])):
        watched = Watched(gw, "downstream_flood")
        with h.Client(gw.port) as client:
            client.expect(h.SETTINGS)
            client.send(h.headers(1, h.request_fields(), more=True))
            piece = h.frame(h.CONTINUATION, 0, 1, payload)
            client.flood(lambda i, piece=piece: piece, 200000, batch=1000)
            client.end()
        watched.over()


@pytest.mark.parametrize("pieces", [1, 3])
def test_legal_continuation(gw, pieces):
    """One byte at a time is slow, and legal."""
    block = h.raw_block(h.request_fields("/slowly", *((f"x-{i}", "v" * 60) for i in range(40))))
    with h.Client(gw.port) as client:
        out = h.frame(h.HEADERS, h.END_STREAM, 1, block[:1])
        for at in range(1, len(block), pieces):
            last = h.END_HEADERS if at + pieces >= len(block) else 0
            out += h.frame(h.CONTINUATION, last, 1, block[at:at + pieces])
        client.send(out)
        client.next = 3
        assert client.answer(1).body == b"ok"
        assert client.get("/after").body == b"ok"


def bomb(fields, size=4000):
    """A large field put into the table once, then named by one byte each."""
    block = h.raw_block(h.request_fields())
    block += b"\x40" + h.literal(b"cookie") + h.literal(b"v" * size)
    return block + b"\xbe" * fields  # index 62, the newest


def send_block(client, block):
    pieces = [block[at:at + 16000] for at in range(0, len(block), 16000)]
    out = h.frame(h.HEADERS, h.END_STREAM | (h.END_HEADERS if len(pieces) == 1 else 0), 1,
                  pieces[0])
    for i, piece in enumerate(pieces[1:], 2):
        out += h.frame(h.CONTINUATION, h.END_HEADERS if i == len(pieces) else 0, 1, piece)
    client.send(out)


def test_hpack_bomb(gw):
    """129 KiB that mean half a gigabyte: the end comes within 64 KiB decoded."""
    watched = Watched(gw, "downstream_flood", growth_kib=1024)
    with h.Client(gw.port) as client:
        send_block(client, bomb(129 << 10))
        assert client.end() == h.ENHANCE_YOUR_CALM
    watched.over()


def test_small_bomb(gw):
    """Between the limit and twice it, the answer is 431 and the connection goes on."""
    with h.Client(gw.port) as client:
        send_block(client, bomb(9))
        client.next = 3
        assert client.answer(1).status == 431
        assert client.get("/after").body == b"ok"


@pytest.mark.parametrize("crumbs, status", [(90, 200), (110, 431), (1500, 431), (4000, None)])
def test_cookie_crumbs(gw, crumbs, status):
    fields = h.request_fields("/", *([("cookie", "")] * crumbs))
    with h.Client(gw.port) as client:
        send_block(client, h.raw_block(fields))
        if status is None:
            assert client.end() == h.ENHANCE_YOUR_CALM
        else:
            assert client.answer(1).status == status


# What RFC 9113 8 forbids: (name, fields, status of our answer or None: reset).
MESSAGES = [
    ("authority-host-differ", h.request_fields("/", ("host", "b.test")), 400),
    ("authority-userinfo", h.request_fields(authority="u:p@a.test"), 400),
    ("authority-list", h.request_fields(authority="a.test,b.test"), 400),
    ("scheme-ftp", h.request_fields(scheme="ftp"), 400),
    ("scheme-https", h.request_fields(scheme="https"), 400),
    ("scheme-case", h.request_fields(scheme="HTTP"), 400),
    ("method-lower", h.request_fields(method="get"), 405),
    ("method-unknown", h.request_fields(method="FROB"), 405),
    ("method-connect", [(":method", "CONNECT"), (":authority", "a.test:22")], 405),
    ("method-trace", h.request_fields(method="TRACE"), 405),
    ("path-fragment", h.request_fields("/a#b"), 400),
    ("path-high", h.request_fields("/\xe4"), 400),
    ("path-null", h.request_fields("/%00"), 400),
    ("path-slash", h.request_fields("/a%2Fb"), 400),
    ("path-space", h.request_fields("/a b"), None),
    ("path-crlf", h.request_fields("/a HTTP/1.1\r\nx: y"), None),
    ("value-cr", h.request_fields("/", ("x", "a\rb")), None),
    ("value-lf", h.request_fields("/", ("x", "a\nb")), None),
    ("value-nul", h.request_fields("/", ("x", "a\0b")), None),
    ("value-ctl", h.request_fields("/", ("x", "a\x01b")), None),
    ("value-space", h.request_fields("/", ("x", " a")), None),
    ("name-space", h.request_fields("/", ("x y", "a")), None),
    ("name-upper", h.request_fields("/", ("X", "a")), None),
    ("name-colon", h.request_fields("/", ("x:y", "a")), None),
    ("te", h.request_fields("/", ("te", "gzip")), None),
    ("transfer-encoding", h.request_fields("/", ("transfer-encoding", "chunked")), None),
    ("connection", h.request_fields("/", ("connection", "x-forwarded-for")), None),
    ("length-twice", h.request_fields("/", ("content-length", "0"), ("content-length", "0")), None),
    ("length-without-body", h.request_fields("/", ("content-length", "1")), None),
    ("pseudo-late", h.request_fields("/", ("x", "1"), (":path", "/b")), None),
    ("pseudo-unknown", [*h.request_fields(), (":x", "1")], None),
    ("expectation", h.request_fields("/", ("expect", "200-maybe")), 417),
]


@pytest.mark.parametrize("name, fields, status", MESSAGES, ids=[c[0] for c in MESSAGES])
def test_messages(gw, name, fields, status):
    seen = requests_seen(gw)
    with h.Client(gw.port) as client:
        stream = client.new_stream()
        client.send(h.headers(stream, fields))
        answer = client.answer(stream)
        resets = name == "authority-userinfo" and answer.status is None  # newer nghttp2 does
        if status is None or resets:
            assert answer.reset == h.PROTOCOL_ERROR, name
        else:
            assert answer.status == status, name
        assert client.get("/after").body == b"ok"  # the connection is not to blame
    assert requests_seen(gw) - seen == 1


def test_slow_preface(gw):
    for start in (b"", h.PREFACE[:10], h.PREFACE, h.PREFACE + h.settings()):
        with connect(gw.port) as s:
            s.sendall(start)
            peer = h.Peer(s)
            peer.quiet = True
            peer.end()


def test_slow_headers(gw):
    """Also when a byte comes from time to time."""
    with h.Client(gw.port) as client:
        client.expect(h.SETTINGS)
        block = h.raw_block(h.request_fields())
        client.send(h.frame(h.HEADERS, h.END_STREAM, 1, block[:5]))
        for i in range(5, len(block)):
            if select.select([client.sock], [], [], 0.1)[0] and not client.drain():
                break
            client.send(h.frame(h.CONTINUATION, 0, 1, block[i:i + 1]))
        else:
            raise AssertionError("never closed")
    with h.Client(gw.port) as client:
        assert client.get("/next").body == b"ok"


def test_clients_that_never_read(gw):
    """A hundred, each with ten answers of a mebibyte."""
    memory = gw.memory_kib()
    clients = []
    for _ in range(100):
        client = h.Client(gw.port, (h.INITIAL_WINDOW_SIZE, 0x7fffffff))
        client.send(h.number(h.WINDOW_UPDATE, 0, 0x7fff0000))
        for _ in range(10):
            client.request("/big")
        clients.append(client)
    with h.Client(gw.port) as client:
        for _ in range(10):
            assert client.get("/next").body == b"ok"
    grown = gw.memory_kib() - memory
    assert grown < 160 << 10, f"{grown} KiB"  # a thousand answers are a gibibyte
    wait_until(lambda: gw.metric("ringgate_downstream_connections_open") <= 1,
               "the end of those who do not read", timeout=60)
    for client in clients:
        client.close()


def test_closed_windows(gw):
    """Answers that may not be sent stay with the backend, but for a window each."""
    memory = gw.memory_kib()
    with h.Client(gw.port, (h.INITIAL_WINDOW_SIZE, 0)) as client:
        for _ in range(100):
            client.request("/big")
        got = client.expect(h.HEADERS)
        assert dict(got.fields)[":status"] == "200"
        with h.Client(gw.port) as other:
            assert other.get("/next").body == b"ok"
        assert gw.memory_kib() - memory < 48 << 10
        # A byte at a time: what comes are the bytes, in order.
        client.send(h.settings((h.INITIAL_WINDOW_SIZE, 1)))
        for _ in range(100):
            data = client.expect(h.DATA)
            assert data.payload == b"x"
    wait_until(lambda: gw.metric("ringgate_http_requests_active") == 0, "no request in progress")


@pytest.mark.parametrize("acknowledged", [False, True])
def test_stream_limit(gw, acknowledged):
    """More than we allow are refused; by one who knows the limit they are an error."""
    with h.Client(gw.port, (h.INITIAL_WINDOW_SIZE, 0)) as client:
        client.quiet = not acknowledged
        settings = client.expect(h.SETTINGS)
        pairs = dict(struct.iter_unpack(">HI", settings.payload))
        assert pairs[h.MAX_CONCURRENT_STREAMS] == 100
        streams = [client.request("/big") for _ in range(102)]
        if acknowledged:
            assert client.end() == h.PROTOCOL_ERROR
            return
        got = client.expect(h.RST_STREAM)
        assert got.number() == h.REFUSED_STREAM and got.stream in streams[100:]


def test_windows_that_never_open(gateways, origins):
    """The client stays and takes nothing: its streams end with a name."""
    gateway = gateways({"stream_idle_timeout": "500ms"})
    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["one"])]),
                   *m.service("one", origins(page_handler).port)])
    gateway.start()
    with h.Client(gateway.port, (h.INITIAL_WINDOW_SIZE, 0)) as client:
        streams = [client.request("/big") for _ in range(10)]
        ended = {client.expect(h.RST_STREAM).stream for _ in streams}
        assert ended == set(streams)
        gateway.log(outcome="stream_idle_timeout", path="/big")
        assert gateway.metric("ringgate_upstream_connections_open") == 0
        client.send(h.settings((h.INITIAL_WINDOW_SIZE, 65535)))
        assert client.get("/after").body == b"ok"


def test_never_ending_after_goaway(gw):
    """Memory and connection go although the peer sends on (CVE-2026-21714)."""
    with h.Client(gw.port) as client:
        client.quiet = True
        client.flood(ping, 50000)
        wait_until(lambda: not client.send(ping(0) * 100), "the end of what it may send")
    wait_until(lambda: gw.metric("ringgate_downstream_connections_open") == 0, "its end")
