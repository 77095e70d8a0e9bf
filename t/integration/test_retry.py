# SPDX-License-Identifier: Apache-2.0
"""Retries of HTTPRoute rules and their budget."""
import hashlib
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest

import http2
import manifests as m
from origin import http_answer, read_request
from wire import Stream, connect, refusing_port, request, reset, wait_until

number = itertools.count()


class Flaky:
    """Fails the first requests of an id as the query says: ?id=&fail=2&how=500|reset|close|hang.

    slow=0.3 makes every answer slow, one at a time as the API's own test backend does."""

    def __init__(self):
        self.seen = {}  # id: [(method, length, digest, connection)]
        self.lock = threading.Lock()
        self.turn = threading.Lock()

    def __call__(self, sock, origin):
        stream = Stream(sock)
        while True:
            method, target, _, body, trailers = read_request(stream)
            query = {k: v[0] for k, v in parse_qs(urlsplit(target).query).items()}
            with self.lock:
                seen = self.seen.setdefault(query.get("id"), [])
                seen.append((origin.name, method, len(body), hashlib.sha256(body).hexdigest(),
                             trailers, id(sock)))
                fails = len(seen) <= int(query.get("fail", 0))
            how = query.get("how", "500")
            if "slow" in query:
                with self.turn:
                    time.sleep(float(query["slow"]) if fails else 0)
                http_answer(sock, b"done", fields=["X-Origin: " + origin.name])
            elif not fails:
                http_answer(sock, b"done", fields=["X-Origin: " + origin.name])
            elif how == "reset":
                sock.reset()
                return
            elif how == "close":
                return
            elif how == "hang":
                read_request(stream)
            elif how == "late":
                time.sleep(0.1)
                http_answer(sock, b"failed", "500 No")
            else:
                http_answer(sock, b"failed " * int(query.get("size", 1)), f"{how} No")


    def answer_h2(self, peer, number):
        """The same for HTTP/2; how=7: reset with that code."""
        message = peer.stream(number)
        query = {k: v[0] for k, v in parse_qs(urlsplit(message.get(":path")).query).items()}
        with self.lock:
            seen = self.seen.setdefault(query.get("id"), [])
            seen.append(("h2", message.get(":method"), len(message.body),
                         hashlib.sha256(message.body).hexdigest(), message.trailers, id(peer)))
            fails = len(seen) <= int(query.get("fail", 0))
        how = int(query.get("how", 500)) if fails else 200
        if how < 100:
            peer.h2.reset_stream(number, how)
            peer.flush()
            return
        peer.send_head(number, [(":status", str(how))])
        peer.send_body(number, b"failed" if fails else b"done")


def retry(attempts, *codes, **more):
    return {"retry": {"attempts": attempts, "codes": list(codes), **more}}


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins):
    flaky = Flaky()
    one, two = (module_origins(flaky, name=n) for n in ("one", "two"))
    gateway = module_gateways()
    every = [500, 502, 503, 504]
    rules = [
        m.rule("/codes", ["one"], **retry(3, 500, backoff="5ms")),
        m.rule("/gateway-codes", ["one"], **retry(2, *every, backoff="5ms")),
        m.rule("/connection", ["one"], **retry(3, backoff="5ms")),
        m.rule("/timeouts", ["one"], timeouts={"backendRequest": "200ms"}, **retry(2)),
        m.rule("/total", ["one"], timeouts={"request": "400ms"}, **retry(5, 500)),
        m.rule("/dead", ["dead"], **retry(2, backoff="5ms")),
        m.rule("/half", ["half"], **retry(5, backoff="5ms")),
        m.rule("/pair", ["pair"], **retry(1, 500, backoff="5ms")),
        m.rule("/none", ["one"]),
        m.rule("/zero", ["one"], **retry(0, 500)),
        m.rule("/soon", ["one"], **retry(20, 500, backoff="1ms")),
        m.rule("/h2", ["h2"], **retry(3, 500, backoff="5ms")),
        m.rule("/wait", ["one"], **retry(3, 500, backoff="200ms")),
        m.rule("/budget", ["budget"], **retry(1, 500, backoff="1ms")),
        m.rule("/no-budget", ["poor"], **retry(2, 500, backoff="1ms"),
               timeouts={"backendRequest": "300ms"}),
    ]
    objects = [m.gateway([m.listener("http", gateway.port)]),
               m.http_route("retry", rules, ["a.test"]),
               m.traffic_policy("budget", "budget", percent=20, count=5),
               m.traffic_policy("poor", "poor", percent=0, count=1)]
    objects[-1]["spec"]["retryConstraint"]["minRetryRate"]["interval"] = "1h"
    dead = refusing_port()
    objects += m.service("one", one.port) + m.service("dead", dead)
    objects += m.service("half", one.port, dead) + m.service("pair", one.port, two.port)
    objects += m.service("budget", two.port) + m.service("poor", one.port)
    objects += m.h2_service("h2", module_origins(http2.handler(flaky.answer_h2)).port)
    gateway.write(objects)
    gateway.flaky = flaky
    gateway.workers = 1
    return gateway.start()


def ask(gw, path, method="GET", body=None, **query):
    """(response, what the backends saw of it)."""
    query["id"] = f"{gw.engine}{next(number)}"
    target = path + "?" + "&".join(f"{k}={v}" for k, v in query.items())
    response = request(gw.port, target, method, body=body)
    return response, gw.flaky.seen.get(query["id"], [])


def ask_h2(gw, path, method="GET", body=None, **query):
    """The same by an HTTP/2 client."""
    query["id"] = f"{gw.engine}{next(number)}"
    peer = http2.dial(gw.port)
    with peer.sock:
        target = path + "?" + "&".join(f"{k}={v}" for k, v in query.items())
        return peer.request(target, method, body), gw.flaky.seen.get(query["id"], [])


@pytest.mark.parametrize("path,how,fail,status,tries", [
    ("/codes", 500, 0, 200, 1),
    ("/codes", 500, 2, 200, 3),
    ("/codes", 500, 3, 200, 4),
    ("/codes", 500, 4, 500, 4),
    ("/codes", 503, 9, 503, 1),
    ("/gateway-codes", 500, 1, 200, 2),
    ("/gateway-codes", 502, 1, 200, 2),
    ("/gateway-codes", 503, 3, 503, 3),
    ("/gateway-codes", 504, 3, 504, 3),
    ("/connection", "reset", 2, 200, 3),
    ("/connection", "close", 3, 200, 4),
    ("/connection", "reset", 4, 503, 4),
    ("/connection", 500, 1, 500, 1),
    ("/zero", 500, 1, 500, 1),
    ("/none", 500, 1, 500, 1),
    ("/soon", 500, 20, 200, 21),
])
def test_attempts(gw, path, how, fail, status, tries):
    got, seen = ask(gw, path, how=how, fail=fail)
    assert (got.status, len(seen)) == (status, tries)
    assert got.body.startswith(b"done" if status == 200 else b"failed" if how == status else b"")


@pytest.mark.parametrize("asker", [ask, ask_h2])
@pytest.mark.parametrize("how,fail,status,tries", [
    (500, 3, 200, 4),
    (500, 4, 500, 4),
    (503, 1, 503, 1),
    (2, 3, 200, 4),  # INTERNAL_ERROR
    (8, 4, 503, 4),  # CANCEL
    (7, 4, 200, 5),  # REFUSED_STREAM: the first one does not count
    (7, 9, 503, 5),
])
def test_attempts_with_http2(gw, asker, how, fail, status, tries):
    for body in (None, b"x" * 65536):
        got, seen = asker(gw, "/h2", "POST" if body else "GET", body, how=how, fail=fail)
        assert (got.status, len(seen)) == (status, tries)
        assert {s[2] for s in seen} == {len(body or b"")}
    if how == 500:
        got, seen = asker(gw, "/codes", "POST", b"y" * 1000, fail=fail)
        assert (got.status, len(seen)) == (status, tries)


def test_without_retry(gw):
    got, seen = ask(gw, "/none", "POST", b"x", how="reset", fail=9)
    assert (got.status, len(seen)) == (502, 1)
    gw.log(outcome="upstream_reset_before_response", response_code=502)


def test_attempts_in_log_and_metrics(gw):
    before = gw.metric("ringgate_upstream_retries_total")
    got, seen = ask(gw, "/connection", how="reset", fail=4)
    assert (got.status, len(seen)) == (503, 4)
    record = gw.log(outcome="retries_exhausted")
    assert (record["response_flags"], record["attempts"]) == ("URX", 4)
    assert gw.metric("ringgate_upstream_retries_total") == before + 3


def test_attempt_timeouts(gw):
    """Numbers of the API's own test: a backend that is busy 300 ms for each, 200 ms an attempt."""
    got, seen = ask(gw, "/timeouts", slow="0.3", fail=2)
    assert (got.status, len(seen)) == (200, 3)
    got, seen = ask(gw, "/timeouts", slow="0.3", fail=3)
    assert (got.status, len(seen)) == (504, 3)


def test_total_timeout(gw):
    got, seen = ask(gw, "/total", how="late", fail=1)
    assert (got.status, len(seen)) == (200, 2)
    got, seen = ask(gw, "/total", how="late", fail=9)
    assert got.status == 504 and len(seen) < 6


def test_connect_failures(gw):
    before = gw.metric("ringgate_upstream_connects_total")
    got, _ = ask(gw, "/dead")
    assert got.status == 503
    assert gw.metric("ringgate_upstream_connects_total") == before + 3
    for _ in range(8):  # another endpoint is found whichever comes first
        assert ask(gw, "/half")[0].status == 200


def test_other_endpoint(gw):
    for _ in range(6):
        got, seen = ask(gw, "/pair", fail=1)
        assert got.status == 200 and {s[0] for s in seen} == {"one", "two"}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("size", [0, 1, 16384, 65536])
def test_bodies_are_sent_again(gw, method, size):
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    for how in (500, "reset"):
        got, seen = ask(gw, "/codes", method, body, how=how, fail=2)
        assert got.status == 200
        assert {s[1:4] for s in seen} == {(method, size, hashlib.sha256(body).hexdigest())}
        assert len(seen) == 3


def test_long_bodies_are_sent_once(gw):
    got, seen = ask(gw, "/codes", "POST", b"x" * 65537, fail=1)
    assert (got.status, len(seen)) == (500, 1)
    got, seen = ask(gw, "/codes", "POST", b"x" * 1000000, fail=0)
    assert (got.status, [s[2] for s in seen]) == (200, [1000000])


def test_chunked_body_and_trailers(gw):
    target = f"/codes?id=chunked-{gw.engine}&fail=1"
    with connect(gw.port) as sock:
        sock.sendall(f"POST {target} HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n"
                     "Trailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 5\r\n\r\n".encode())
        assert Stream(sock).response().status == 200
    seen = gw.flaky.seen[f"chunked-{gw.engine}"]
    assert [(s[2], s[4]) for s in seen] == [(5, [("x-sum", "5")])] * 2


def test_body_that_goes_on_between_attempts(gateways, origins):
    """What comes in while no backend takes it is sent by the next attempt, in order."""
    got_first = threading.Event()
    bodies = []

    def handler(sock, _origin):
        stream = Stream(sock)
        first, _ = stream.head()
        length = int(first.split("length=")[1].split(" ")[0])
        if not got_first.is_set():
            stream.exactly(10)
            http_answer(sock, b"early", "500 No")
            got_first.set()
            stream.sock.recv(1)
            return
        bodies.append(stream.exactly(length))
        http_answer(sock, b"done")

    origin = origins(handler)
    gateway = gateways()
    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["one"], **retry(1, 500, backoff="300ms"))])]
                  + m.service("one", origin.port))
    gateway.start()
    body = bytes(i % 251 for i in range(60000))
    with connect(gateway.port) as sock:
        sock.sendall(f"POST /?length={len(body)} HTTP/1.1\r\nHost: a.test\r\n"
                     f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:10])
        assert got_first.wait(20)
        sock.sendall(body[10:40000])
        wait_until(lambda: len(origin.connections) == 2, "the second attempt")
        sock.sendall(body[40000:])
        got = Stream(sock).response()
    assert (got.status, got.body) == (200, b"done")
    assert bodies == [body]


def test_connections_are_used_again(gw):
    """The rest of a refused response is read during the back-off: the connection is kept."""
    _, seen = ask(gw, "/wait", fail=1, size=1000)
    assert len({s[5] for s in seen}) == 1


def test_budget(gw):
    """20 % of all requests and at least 5 a second, in each worker. What is over it gets 503; who
    was tried again gets what the backend said last."""
    before = gw.metric("ringgate_upstream_retries_refused_total")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(gw, "/budget", fail=9), range(100)))
    for response, seen in answers:
        assert response.status == {1: 503, 2: 500}[len(seen)]
    tries = sum(len(a[1]) for a in answers)
    # 25 of 125, or 5 in each second that passed.
    assert 105 <= tries <= 140
    refused = gw.metric("ringgate_upstream_retries_refused_total") - before
    assert refused == 200 - tries
    line = gw.log(response_code_details="retry budget exhausted")
    assert (line["response_code"], line["outcome"]) == (503, "retries_exhausted")


@pytest.mark.parametrize("how", ["500", "reset", "close", "hang"])
def test_no_budget(gw, how):
    """Whatever the first attempt ended in, one over the budget is 503 at once."""
    ask(gw, "/no-budget", fail=9)  # has the only retry of an hour, if nobody had it
    response, seen = ask(gw, "/no-budget", "POST", b"body", fail=9, how=how)
    assert (response.status, len(seen)) == (503, 1)
    assert ask(gw, "/no-budget")[0].status == 200


def test_client_that_leaves_during_backoff(gw):
    target = f"/wait?id=leaves-{gw.engine}&fail=9"
    sock = connect(gw.port)
    sock.sendall(f"GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode())
    wait_until(lambda: gw.flaky.seen.get(f"leaves-{gw.engine}"), "the first attempt")
    reset(sock)
    gw.log(path=target, outcome="downstream_closed")
    wait_until(lambda: gw.metric("ringgate_http_requests_active") == 0, "the end of the exchange")
    assert len(gw.flaky.seen[f"leaves-{gw.engine}"]) < 4


def test_status_of_the_policy(gw):
    path = gw.status / "gateway.networking.x-k8s.io_XBackendTrafficPolicy" / "test" / "budget.yaml"
    text = path.read_text()
    assert "ancestorRef" in text and 'status: "True"' in text
