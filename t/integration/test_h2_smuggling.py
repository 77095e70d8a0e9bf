# SPDX-License-Identifier: Apache-2.0
"""Requests of HTTP/2 that would be two, or another one, when written as HTTP/1.1 (RFC 9113 10.3,
8.2.1): what http2smugl tries and more. Either nothing reaches the backend, or the one request with
the body that was sent, framed once."""
import pytest

import h2wire as h
import manifests as m
from origin import http_answer, read_request
from wire import Stream, request, wait_until

HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"
# One who takes it for chunks finds an end and a request after it, or no chunk.
BODIES = [b"0\r\n\r\n" + HIDDEN, b"999\r\nabc", HIDDEN]


def names_like(name):
    """Fields that a lenient reader takes for the one of that name."""
    first, second = name.split("-")
    return [name, name.upper(), name.title(), f"{name} ", f" {name}", f"{name}\t", f"\t{name}",
            f"{name}:", f"{name}\0", f"\0{name}", f"{name}\r", f"\r{name}", f"{name}\n",
            f"\n{name}", f"{name}\x0b", f"{name}\x7f", f"{name}\xa0", f"{first}_{second}",
            f"{first}.{second}", f"{first} {second}", f"{first}\xad{second}", f"x: y\r\n{name}",
            f"x: y\n{name}",
            f"x\r\n\r\n{name}", f"{name}\r\nx", f"{name}: x\r\ny",
            name.replace("s", "\u017f").encode()]


CODINGS = ["chunked", "Chunked", " chunked", "chunked ", "\tchunked", "chunked\t", "\x0bchunked",
           "\x0cchunked", "chunked\0", "\0chunked", "chunked\r", "\rchunked", "x\r\nchunked",
           "chunked\n", "\nchunked", "chunked, identity", "identity, chunked", "gzip, chunked",
           "chunked;a=b", '"chunked"', "identity", "", "\xa0chunked",
           "chun\u212aed".encode(), "trailers"]
LENGTHS = ["5", "6", "+5", "-5", " 5", "5 ", "05", "5,5", "5, 5", "5;5", "0x5", "5e0", "5.0", "",
           "5\0", "5\r\n", "5\r\nx: y", "5\nx: y", "5\rx: y", "\t5", "\x0b5",
           "18446744073709551621"]
LINES = [f"a{end}transfer-encoding: chunked{more}"
         for end in ("\r\n", "\n", "\r", "\0\r\n", "\r\r\n") for more in ("", "\r\nx: ")]
LINES.append("a\r\n\r\nGET /smuggled HTTP/1.1\r\nx: ")


def pseudo(name, value):
    fields = h.request_fields("/", method="POST")
    return [(n, value if n == name else v) for n, v in fields]


def post(*more):
    return h.request_fields("/", *more, method="POST")


CASES = {
    "coding-names": [post((name, "chunked")) for name in names_like("transfer-encoding")],
    "codings": [post(("transfer-encoding", value)) for value in CODINGS],
    "te": [post(("te", value)) for value in CODINGS],
    "length-names": [post((name, "5")) for name in names_like("content-length")],
    "lengths": [post(("content-length", value)) for value in LENGTHS],
    "two-lengths": [post(("content-length", a), ("content-length", b))
                    for a in LENGTHS[:4] for b in LENGTHS[:4]],
    "values": [post((name, line)) for line in LINES for name in ("x", "cookie", "user-agent")],
    "paths": [pseudo(":path", f"/{line}") for line in LINES] +
             [pseudo(":path", f"/ HTTP/1.1\r\nx: {line}") for line in LINES],
    "methods": [pseudo(":method", f"POST / HTTP/1.1\r\nx: {line}") for line in LINES] +
               [pseudo(":method", method)
                for method in ("POST ", " POST", "POST\t", "GET / HTTP/1.1")],
    "authorities": [pseudo(":authority", line) for line in LINES] +
                   [pseudo(":authority", f"a.test\r\nx: {line}") for line in LINES],
    "schemes": [pseudo(":scheme", f"http://a.test/ HTTP/1.1\r\nx: {line}") for line in LINES],
    "hop-names": [post((name, value)) for value in ("close", "content-length, x", "chunked")
                  for name in ("connection", "keep-alive", "proxy-connection", "upgrade")],
}
TRAILERS = [[(name, value)] for known in ("transfer-encoding", "content-length")
            for name in names_like(known) for value in ("chunked", "5")]
TRAILERS += [[("x", line)] for line in LINES]
TRAILERS += [[(":path", "/smuggled")], [("host", "b.test")]]


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins):
    requests = []

    def record(sock, _origin):
        stream = Stream(sock)
        while True:
            requests.append(read_request(stream))
            http_answer(sock, b"answer to " + requests[-1][1].encode())

    gateway = module_gateways()
    gateway.origin, gateway.requests = module_origins(record), requests
    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["one"])]),
                   *m.service("one", gateway.origin.port)])
    return gateway.start()


def check_seen(gw, body, case):
    """What came to the backend since the last time: nothing, or one whole request."""
    # The last request on the same backend connection: nothing comes after it that was hidden.
    wait_until(lambda: gw.metric("ringgate_http_requests_active") == 0, "the end of exchanges")
    assert request(gw.port, "/sentinel").body == b"answer to /sentinel", case
    seen = [r for r in gw.requests if r[1] != "/sentinel"]
    gw.requests.clear()
    assert len(seen) <= 1, (case, seen)
    for method, target, fields, got, trailers in seen:
        assert (method, target, got) == ("POST", "/", body), (case, seen)
        names = [n.lower() for n, _ in fields]
        framing = [f for f in fields if f[0].lower() in ("transfer-encoding", "content-length")]
        assert framing in ([("transfer-encoding", "chunked")],
                           [("content-length", str(len(body)))]), (case, fields)
        assert names.count("host") == 1 and not {"te", "upgrade", "connection"} & set(names), case
        assert all(n.replace("-", "").isalnum() and n.isascii() for n in names), (case, names)
        assert not {"transfer-encoding", "content-length", "host"} & \
            {n.lower() for n, _ in trailers}, (case, trailers)
    return len(seen)


@pytest.mark.parametrize("kind", CASES)
def test_heads(gw, kind):
    gw.requests.clear()
    for fields in CASES[kind]:
        counts = set()
        for body in BODIES:
            with h.Client(gw.port) as client:
                stream = client.new_stream()
                client.send(h.headers(stream, fields, end=False),
                            h.frame(h.DATA, h.END_STREAM, stream, body))
                answer = client.answer(stream)
            case = (fields, body, answer.status, answer.reset)
            seen = check_seen(gw, body, case)
            assert seen == (answer.status == 200), case
            assert seen or answer.reset == h.PROTOCOL_ERROR or \
                answer.status in (400, 405, 417, 501), case
            counts.add((answer.status, answer.reset))
        # The body makes no difference, so nobody has read it as something else; a length may fit.
        assert len(counts) == 1 or kind in ("lengths", "two-lengths"), (fields, counts)


def test_trailers(gw):
    gw.requests.clear()
    for fields in TRAILERS:
        body = BODIES[0]
        with h.Client(gw.port) as client:
            stream = client.new_stream()
            client.send(h.headers(stream, post(), end=False), h.frame(h.DATA, 0, stream, body),
                        h.headers(stream, fields, end=True))
            answer = client.answer(stream)
        case = (fields, answer.status, answer.reset)
        assert check_seen(gw, body, case) == (answer.status == 200), case
        assert answer.status == 200 or answer.reset == h.PROTOCOL_ERROR, case
