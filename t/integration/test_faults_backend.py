# SPDX-License-Identifier: Apache-2.0
"""Backends that say too much, too late or to the wrong request, and backends
that are not there: no answer ever goes to another request."""
import socket
import threading
import time

import pytest

import manifests as m
from origin import http_answer, read_request
from wire import Stream, connect, free_port, read_all, request, wait_until

OK = b"HTTP/1.1 200 OK\r\n"
SMUGGLED = OK + b"Content-Length: 8\r\n\r\nsmuggled"
LENGTH = OK + b"Content-Length: 4\r\n\r\nmine"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nmine\r\n0\r\n\r\n"


def until_gone(sock):
    sock.shutdown(socket.SHUT_WR)
    read_all(sock)


def says(data):
    """Sends it, and keeps the connection until the gateway ends it."""

    def play(sock):
        sock.sendall(data)
        read_all(sock)

    return play


def afterwards(data):
    """A good answer, and more once the connection is idle."""

    def play(sock):
        sock.sendall(LENGTH)
        time.sleep(0.05)
        sock.sendall(data)
        read_all(sock)

    return play


def too_late(sock):
    """The whole answer after its time; the gateway has to be gone by then."""
    time.sleep(2.6)
    sock.sendall(LENGTH)
    read_all(sock)


def slow_head(sock):
    for byte in LENGTH:
        sock.sendall(bytes([byte]))
        time.sleep(0.1)


def until_close(sock):
    sock.sendall(OK + b"\r\nmine")
    until_gone(sock)


def cut_before_close(sock):
    sock.sendall(OK + b"\r\nmine")
    time.sleep(0.05)  # so that the answer is read before the reset takes it away
    sock.reset()


def flood(sock):
    for _ in range(1000):
        sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
    read_all(sock)


PLAYS = {
    "after-length": says(LENGTH + SMUGGLED), "after-chunked": says(CHUNKED + SMUGGLED),
    "after-204": says(b"HTTP/1.1 204 No Content\r\n\r\n" + SMUGGLED),
    "chunked-204": afterwards(b""), "unasked": afterwards(SMUGGLED),
    "unasked-junk": afterwards(b"\0\1\2"), "too-late": too_late, "slow-head": slow_head,
    "until-close": until_close, "cut-before-close": cut_before_close, "flood": flood,
    "silent": read_all, "tls": says(b"\x15\x03\x03\x00\x02\x02\x28"),
    "endless-head": says(OK + b"X-Y: " + b"z" * 100000),
}


def play(sock, origin):
    """/<play>/...: that play, then the end; /good/...: an answer that names its request."""
    stream = Stream(sock)
    while True:
        _, target, _, _, _ = read_request(stream)
        name = target.split("/")[1]
        if name == "good":
            http_answer(sock, target.encode())
            continue
        PLAYS[name](sock)
        origin.done.append(target)
        return


def dies_idle(sock, origin):
    """Answers one request a connection; a second one gets a reset."""
    stream = Stream(sock)
    for again in (False, True):
        method, target, _, _, _ = read_request(stream)
        origin.requests.append((method, target))
        if again:
            sock.reset()
        else:
            http_answer(sock, target.encode())


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins):
    gateway = module_gateways(settings={"route_timeout": "2s", "upstream_connect_timeout": "1s"})
    gateway.workers = 1  # so that the connection a request left idle is the next one's
    gateway.play, gateway.dies = module_origins(play), module_origins(dies_idle)
    gateway.play.done, gateway.dies.requests = [], []
    gateway.full = socket.socket()
    gateway.full.bind(("127.0.0.1", 0))
    gateway.full.listen(0)
    full = gateway.full.getsockname()
    gateway.waiting = [socket.socket() for _ in range(4)]
    for s in gateway.waiting:
        s.setblocking(False)
        s.connect_ex(full)
    live = module_origins(play)
    live.done = []
    gateway.write([
        m.gateway([m.listener("http", gateway.port)]),
        m.http_route("r", [m.rule("/", ["play"]), m.rule("/dies", ["dies"]),
                           m.rule("/refused", ["refused"]), m.rule("/full", ["full"]),
                           m.rule("/good/half", ["half"])]),
        *m.service("play", gateway.play.port), *m.service("dies", gateway.dies.port),
        *m.service("refused", free_port(), free_port()), *m.service("full", full[1]),
        *m.service("half", free_port(), live.port)])
    yield gateway.start()
    for s in [gateway.full, *gateway.waiting]:
        s.close()


def still_serves(gw, target):
    """Answers of later requests are their own, also on a connection that was used before."""
    with connect(gw.port) as s:
        for i in range(3):
            assert request(gw.port, f"/good{target}/{i}", sock=s).body == \
                f"/good{target}/{i}".encode()


@pytest.mark.parametrize("name, status, body", [
    ("after-length", 200, b"mine"), ("after-chunked", 200, b"mine"), ("after-204", 204, b""),
    ("unasked", 200, b"mine"), ("unasked-junk", 200, b"mine"), ("until-close", 200, b"mine")])
def test_what_follows_an_answer_is_nobodys(gw, name, status, body):
    target = f"/{name}"
    with connect(gw.port) as s:
        response = request(gw.port, target, sock=s)
        assert response.status == status and response.body == body
        # HTTP/1.1 cannot tell what comes after the next request from its answer: let it come.
        wait_until(lambda: target in gw.play.done, "the end of the backend's connection")
        for i in range(3):
            assert request(gw.port, f"/good{target}/{i}", sock=s).body == \
                f"/good{target}/{i}".encode()
    assert gw.log(path=target)["outcome"] == "ok"


@pytest.mark.parametrize("name, status, outcome", [
    ("silent", 504, "upstream_timeout"), ("too-late", 504, "upstream_timeout"),
    ("slow-head", 504, "upstream_timeout"), ("tls", 502, "upstream_protocol_error"),
    ("endless-head", 502, "upstream_protocol_error")])
def test_no_answer(gw, name, status, outcome):
    target = f"/{name}"
    before = gw.outcomes(outcome)
    assert request(gw.port, target).status == status
    entry = gw.log(path=target)
    assert entry["outcome"] == outcome and entry["response_code"] == status
    assert gw.outcomes(outcome) == before + 1
    still_serves(gw, target)


def test_interim_responses_without_end(gw):
    with connect(gw.port) as s:
        s.sendall(b"GET /flood HTTP/1.1\r\nHost: a.test\r\n\r\n")
        stream = Stream(s)
        count = 0
        while (response := stream.response()).status == 103:
            count += 1
        assert response.status == 502 and count <= 16
    assert gw.log(path="/flood")["outcome"] == "upstream_protocol_error"
    still_serves(gw, "/flood")


def test_reset_does_not_end_an_answer_in_order(gw):
    with connect(gw.port) as s:
        s.sendall(b"GET /cut-before-close HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert not read_all(s).endswith(b"0\r\n\r\n")
    assert gw.log(path="/cut-before-close")["outcome"] == "upstream_truncated_response"


@pytest.mark.parametrize("method, body, times, status", [
    ("GET", None, 2, 200), ("DELETE", None, 2, 200), ("PUT", b"", 2, 200),
    ("PUT", b"some", 1, 502), ("POST", None, 1, 502), ("POST", b"some", 1, 502)])
def test_dead_pooled_connection(gw, method, body, times, status):
    """Once more where it is safe, and never where the backend may have acted on it."""
    target = f"/dies/{method}/{body}".replace("'", "")
    gw.dies.requests.clear()
    assert request(gw.port, "/dies/first").status == 200
    # The retry's own connection would be idle and half dead for the next case: use it up.
    response = request(gw.port, target, method=method, body=body)
    assert response.status == status
    assert gw.dies.requests.count((method, target)) == times
    entry = gw.log(path=target)
    assert entry["outcome"] == ("ok" if status == 200 else "upstream_reset_before_response")
    if times == 2:
        assert entry["attempts"] == 2
        request(gw.port, "/dies/used-up", method="POST")


def test_refused_endpoints_are_ejected(gw):
    before = gw.outcomes("upstream_connect_failed")
    for i in range(5):
        response = request(gw.port, f"/refused/{i}")
        assert response.status == 503 and b"upstream_connect_failed" in response.body
        assert gw.log(path=f"/refused/{i}")["response_flags"] == "UF"
    assert gw.outcomes("upstream_connect_failed") == before + 5
    assert gw.log(path="/refused/0")["response_code_details"] == "Connection refused"
    wait_until(lambda: gw.errors().count("endpoint ejected") >= 2, "two ejections")


def test_killed_endpoint(gateways, origins):
    """What was sent to it on a kept connection goes to the other, though its own turn is next."""
    asked, killed = threading.Event(), threading.Event()

    def doomed(sock, _origin):
        stream = Stream(sock)
        while read_request(stream)[1] != "/held":
            http_answer(sock, b"doomed")
        asked.set()
        killed.wait(20)

    gateway, dying, other = gateways(), origins(doomed), origins()
    gateway.workers = 1
    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["b"])]),
                   *m.service("b", dying.port, other.port)])
    gateway.start()
    bodies = [request(gateway.port, "/warm").body for _ in range(4)]
    if bodies[-1] == b"doomed":
        request(gateway.port, "/turn")
    with connect(gateway.port) as s:
        s.sendall(b"GET /held HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert asked.wait(20)
        assert request(gateway.port, "/between").body != b"doomed"
        dying.close()
        killed.set()
        assert Stream(s).response().status == 200
    assert gateway.log(path="/held")["attempts"] == 2


def test_one_of_two_endpoints_is_dead(gw):
    for i in range(40):
        assert request(gw.port, f"/good/half/{i}").status == 200


def test_connecting_takes_too_long(gw):
    assert request(gw.port, "/full").status == 503
    assert gw.log(path="/full")["outcome"] == "upstream_connect_failed"


def test_everything_ends(gw):
    wait_until(lambda: gw.metric("ringgate_http_requests_active") == 0, "the end of exchanges")
    wait_until(lambda: gw.metric("ringgate_downstream_connections_open") == 0, "no connections")
    assert "smuggled" not in gw.log_path.read_text()
