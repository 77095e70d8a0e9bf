# SPDX-License-Identifier: Apache-2.0
"""Requests copied to mirrors: what they get, and that the request itself does not feel them."""
import hashlib
import itertools
import threading

import pytest

import http2
import manifests as m
from manifests import redirect, replace_prefix, rewrite
from origin import http_answer, read_request
from wire import Stream, connect, refusing_port, request, wait_until

number = itertools.count()


def mirror(name, **share):
    return {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": name, "port": 80},
                                                       **share}}


def headers(**changes):
    return {"type": "RequestHeaderModifier", "requestHeaderModifier": {
        "set": [{"name": n.replace("_", "-"), "value": v} for n, v in changes.items()]}}


class Recorder:
    """Keeps every request."""

    def __init__(self):
        self.requests = []  # (origin, method, target, fields, length, digest, trailers)

    def __call__(self, sock, origin):
        stream = Stream(sock)
        while True:
            method, target, fields, body, trailers = read_request(stream)
            names = {n.lower(): v for n, v in fields}
            self.requests.append((origin.name, method, target, names, len(body),
                                  hashlib.sha256(body).hexdigest(), trailers))
            http_answer(sock, b"answer of " + origin.name.encode(), head=method == "HEAD")

    def answer_h2(self, peer, number):
        message = peer.stream(number)
        names = {n: v for n, v in message.fields if not n.startswith(":")}
        names["host"] = message.get(":authority")
        self.requests.append(("h2", message.get(":method"), message.get(":path"), names,
                              len(message.body), hashlib.sha256(message.body).hexdigest(),
                              message.trailers))
        peer.send_head(number, [(":status", "200")])
        peer.send_body(number, b"answer of h2")

    def find(self, origin, mark):
        return [r for r in self.requests if r[0] == origin and mark in r[2]]


def hang(sock, origin):
    read_request(Stream(sock))
    origin.stop.wait(20)


def deaf(sock, origin):
    """Takes the connection and nothing of what comes."""
    sock.sock.recv(1)
    origin.stop.wait(20)


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins):
    recorder = Recorder()
    o = {n: module_origins(recorder, name=n) for n in ("one", "two", "three")}
    o["hang"], o["deaf"] = module_origins(hang), module_origins(deaf)
    gateway = module_gateways({"mirror_timeout": "200ms"})
    rules = [
        m.rule("/plain", ["one"], filters=[mirror("two")]),
        m.rule("/before", ["one"], filters=[headers(x_set="s"), mirror("two")]),
        m.rule("/after", ["one"], filters=[mirror("two"), headers(x_set="s")]),
        m.rule("/rewritten", ["one"],
               filters=[rewrite(hostname="inner.test", **replace_prefix("/new")), mirror("two")]),
        m.rule("/several", ["one"], filters=[mirror("two"), headers(x_set="s"), mirror("three"),
                                             mirror("two")]),
        m.rule("/none", ["one"], filters=[mirror("two", percent=0)]),
        m.rule("/percent", ["one"], filters=[mirror("two", percent=20)]),
        m.rule("/fraction", ["one"], filters=[
            mirror("two", fraction={"numerator": 25, "denominator": 50})]),
        m.rule("/hang", ["one"], filters=[mirror("hang")]),
        m.rule("/deaf", ["one"], filters=[mirror("deaf")]),
        m.rule("/dead", ["one"], filters=[mirror("dead")]),
        m.rule("/empty", ["one"], filters=[mirror("empty")]),
        m.rule("/missing", ["one"], filters=[mirror("missing"), mirror("two")]),
        m.rule("/backend", [m.backend("one", filters=[mirror("two")]), m.backend("three", 0)]),
        m.rule("/redirected", filters=[mirror("two"), redirect(hostname="other.test")]),
    ]
    objects = [m.gateway([m.listener("http", gateway.port)]),
               m.http_route("mirrors", rules, ["a.test"]),
               m.http_route("h2", [
                   m.rule("/to-h2", ["one"], filters=[mirror("h2")]),
                   m.rule("/from-h2", ["h2"], filters=[mirror("one"), mirror("h2")])], ["a.test"])]
    for name, origin in o.items():
        objects += m.service(name, origin.port)
    objects += m.h2_service("h2", module_origins(http2.handler(recorder.answer_h2)).port)
    objects += m.service("dead", refusing_port()) + m.service("empty")
    gateway.write(objects)
    gateway.seen = recorder
    gateway.workers = 1
    return gateway.start()


def ask(gw, path, method="GET", **more):
    """(response, the request's mark)."""
    mark = f"m={gw.engine}{next(number)}."
    return request(gw.port, f"{path}?{mark}", method, **more), mark


def copies(gw, mark, count=1, origin="two"):
    wait_until(lambda: len(gw.seen.find(origin, mark)) >= count, f"{count} copies")
    return gw.seen.find(origin, mark)


def test_copy(gw):
    got, mark = ask(gw, "/plain/a%20b", fields=[("X-Own", "1"), ("Cookie", "c=1")])
    assert (got.status, got.body) == (200, b"answer of one")
    copy, = copies(gw, mark)
    primary, = gw.seen.find("one", mark)
    assert copy[1:] == primary[1:]  # method, target, all fields, body
    assert copy[2] == f"/plain/a%20b?{mark}" and copy[3]["host"] == "a.test"
    assert copy[3]["x-forwarded-for"] == "127.0.0.1" and copy[3]["x-own"] == "1"


def test_order(gw):
    """The copy is what the filters before it made of the request."""
    _, mark = ask(gw, "/before")
    assert copies(gw, mark)[0][3]["x-set"] == "s"
    _, mark = ask(gw, "/after")
    assert "x-set" not in copies(gw, mark)[0][3]
    assert gw.seen.find("one", mark)[0][3]["x-set"] == "s"
    _, mark = ask(gw, "/rewritten/x")
    copy, = copies(gw, mark)
    assert copy[2].startswith("/new/x?") and copy[3]["host"] == "inner.test"


def test_several(gw):
    _, mark = ask(gw, "/several")
    assert sorted("x-set" in c[3] for c in copies(gw, mark, 2)) == [False, True]
    assert "x-set" in copies(gw, mark, origin="three")[0][3]


def test_of_a_backend(gw):
    _, mark = ask(gw, "/backend")
    copies(gw, mark)


def test_with_redirect(gw):
    got, mark = ask(gw, "/redirected")
    assert got.status == 302
    copies(gw, mark)


@pytest.mark.parametrize("size", [0, 1, 65536, 200000])
def test_body(gw, size):
    body = hashlib.sha256(b"x").digest() * (size // 32) + b"y" * (size % 32)
    copies(gw, ask(gw, "/plain")[1])  # a copy that finds a connection has more room
    got, mark = ask(gw, "/plain", "POST", body=body)
    assert got.status == 200
    assert copies(gw, mark)[0][4:6] == (size, hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize("path,origins_seen", [("/to-h2", ["h2", "one"]),
                                               ("/from-h2", ["h2", "h2", "one"])])
@pytest.mark.parametrize("size", [0, 1000, 65536])
def test_http2(gw, path, origins_seen, size):
    """Copies to and from either version, whatever the client speaks."""
    body = b"z" * size
    mark = f"m={gw.engine}{next(number)}."
    peer = http2.dial(gw.port)
    with peer.sock:
        for asked in (mark + "h2", mark + "h1"):
            if asked.endswith("h2"):
                got = peer.request(f"{path}?{asked}", "POST", body)
            else:
                got = request(gw.port, f"{path}?{asked}", "POST", body=body)
            assert got.status == 200
            wait_until(lambda a=asked: len(gw.seen.find("h2", a) + gw.seen.find("one", a))
                       == len(origins_seen), "all copies")
            copies_seen = gw.seen.find("h2", asked) + gw.seen.find("one", asked)
            assert sorted(c[0] for c in copies_seen) == origins_seen
            assert {c[4:6] for c in copies_seen} == {(size, hashlib.sha256(body).hexdigest())}
            assert {c[3]["host"] for c in copies_seen} == {"a.test"}


def test_chunked_body_and_trailers(gw):
    mark = f"m={gw.engine}chunked."
    with connect(gw.port) as sock:
        sock.sendall(f"POST /plain?{mark} HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\n"
                     "Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n".encode())
        stream = Stream(sock)
        assert stream.head()[0].startswith("HTTP/1.1 100")
        sock.sendall(b"5\r\nhello\r\n")
        sock.sendall(b"6\r\n world\r\n0\r\nx-sum: 11\r\n\r\n")
        assert stream.response().status == 200
    copy, = copies(gw, mark)
    assert copy[4] == 11 and copy[6] == [("x-sum", "11")] and "expect" not in copy[3]


def shares(gw, path, count):
    mark = f"m={gw.engine}{path[1:]}."
    with connect(gw.port) as sock:
        for _ in range(count):
            assert request(gw.port, f"{path}?{mark}", sock=sock).status == 200
    wait_until(lambda: gw.metric("ringgate_mirror_requests_active") == 0, "the end of the copies")
    return len(gw.seen.find("two", mark))


@pytest.mark.parametrize("path,low,high", [("/none", 0, 0), ("/percent", 55, 110),
                                           ("/fraction", 155, 245)])
def test_shares(gw, path, low, high):
    """Of 400 requests, within four standard deviations."""
    assert low <= shares(gw, path, 400) <= high


@pytest.mark.parametrize("path", ["/hang", "/dead", "/empty"])
def test_mirrors_that_fail(gw, path):
    before = gw.metric("ringgate_mirror_errors_total")
    for body in (None, b"x" * 1000):
        got, _ = ask(gw, path, "POST" if body else "GET", body=body)
        assert (got.status, got.body) == (200, b"answer of one")
    wait_until(lambda: gw.metric("ringgate_mirror_errors_total") == before + 2,
               "the errors")
    wait_until(lambda: gw.metric("ringgate_mirror_requests_active") == 0, "their end")


def test_mirror_that_does_not_read(gw):
    dropped = gw.metric("ringgate_mirror_requests_dropped_total")
    body = b"x" * 16000000
    got, mark = ask(gw, "/deaf", "POST", body=body)
    assert got.status == 200 and gw.seen.find("one", mark)[0][4] == len(body)
    assert gw.metric("ringgate_mirror_requests_dropped_total") == dropped + 1


def test_mirror_that_does_not_exist(gw):
    """Costs only itself, and the status says so."""
    got, mark = ask(gw, "/missing")
    assert got.status == 200
    copies(gw, mark)
    path = gw.status / "gateway.networking.k8s.io_HTTPRoute" / "test" / "mirrors.yaml"
    text = path.read_text()
    assert "reason: BackendNotFound" in text and "reason: Accepted" in text


def test_client_that_leaves(gw):
    dropped = gw.metric("ringgate_mirror_requests_dropped_total")
    with connect(gw.port) as sock:
        sock.sendall(b"POST /plain HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nhalf")
        wait_until(lambda: gw.metric("ringgate_mirror_requests_active") == 1, "the copy")
    wait_until(lambda: gw.metric("ringgate_mirror_requests_active") == 0, "its end")
    assert gw.metric("ringgate_mirror_requests_dropped_total") == dropped + 1


def test_log_has_the_request_only(gw):
    _, mark = ask(gw, "/several")
    copies(gw, mark, 2)
    gw.log(path=f"/several?{mark}")
    assert sum(r.get("path") == f"/several?{mark}" for r in gw.logs()) == 1


def test_cap_and_end(gateways, origins):
    """More copies than mirrors_max are not made; those that hang do not keep the process."""
    one, two = origins(Recorder(), name="one"), origins(hang)
    gateway = gateways({"mirrors_max": 2})
    gateway.workers = 1
    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["one"], filters=[mirror("two")])])]
                  + m.service("one", one.port) + m.service("two", two.port))
    gateway.start()
    for _ in range(5):
        assert request(gateway.port, "/").status == 200
    assert gateway.metric("ringgate_mirror_requests_total") == 2
    assert gateway.metric("ringgate_mirror_requests_active") == 2
    assert gateway.metric("ringgate_mirror_requests_dropped_total") == 3


def test_reload_under_a_copy(gateways, origins):
    """A copy ends on the configuration it began with."""
    go = threading.Event()
    done = []

    def slow(sock, _origin):
        stream = Stream(sock)
        read_request(stream)
        go.wait(20)
        http_answer(sock, b"late")
        done.append(True)

    one, two = origins(Recorder(), name="one"), origins(slow)
    gateway = gateways()
    base = [m.gateway([m.listener("http", gateway.port)])] + m.service("one", one.port)
    gateway.write(base + m.service("two", two.port) + [
        m.http_route("r", [m.rule("/", ["one"], filters=[mirror("two")])])])
    gateway.start()
    assert request(gateway.port, "/").status == 200
    wait_until(lambda: two.connections, "the copy")
    gateway.apply(base + [m.http_route("r", [m.rule("/", ["one"])])])
    go.set()
    wait_until(lambda: done, "the answer")
    wait_until(lambda: gateway.metric("ringgate_mirror_requests_active") == 0, "the end")
    assert gateway.metric("ringgate_mirror_errors_total") == 0
