# SPDX-License-Identifier: Apache-2.0
"""Backends and clients that break, stall and trickle: each ends in a named
outcome, nothing leaks, others are unaffected."""
import socket
import threading
import time

import pytest

import manifests as m
from origin import http_handler, read_request, scripted, silent
from wire import Stream, connect, free_port, read_all, request, reset, wait_until

OK = b"HTTP/1.1 200 OK\r\n"


def reset_at_once(sock, _origin):
    sock.reset()


def reset_after_request(sock, _origin):
    read_request(Stream(sock))
    sock.reset()


def trickle(sock, origin):
    read_request(Stream(sock))
    sock.sendall(OK + b"Content-Length: 10\r\n\r\n")
    for _ in range(10):
        if origin.stop.wait(0.05):
            return
        sock.sendall(b"x")


def stalls_in_body(sock, origin):
    read_request(Stream(sock))
    sock.sendall(OK + b"Content-Length: 10\r\n\r\n12345")
    origin.stop.wait(20)


def reset_in_body(sock, _origin):
    read_request(Stream(sock))
    sock.sendall(OK + b"Content-Length: 100000\r\n\r\n" + b"x" * 5000)
    time.sleep(0.05)  # so that what was sent is read before the reset takes it away
    sock.reset()


def half_idle(sock, _origin):
    """Closes a kept connection as soon as the second request comes."""
    stream = Stream(sock)
    read_request(stream)
    sock.sendall(OK + b"Content-Length: 2\r\n\r\nok")
    stream.head()


def endless(sock, origin):
    read_request(Stream(sock))
    sock.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    while not origin.stop.is_set():
        sock.sendall(b"4000\r\n" + b"e" * 0x4000 + b"\r\n")


def never_reads(sock, origin):
    sock.recv(1)
    origin.stop.wait(20)


BACKENDS = {
    "good": http_handler, "reset-at-once": reset_at_once, "reset-after": reset_after_request,
    "silent": silent, "trickle": trickle, "stalls": stalls_in_body, "reset-body": reset_in_body,
    "close-at-once": scripted(b""), "half-head": scripted(OK + b"Content-"),
    "short-body": scripted(OK + b"Content-Length: 10\r\n\r\n12345"),
    "short-chunk": scripted(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"),
    "bad-chunk": scripted(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n12345\r\n"),
    "bad-status": scripted(b"HTTP/1.1 abc OK\r\n\r\n"), "not-http": scripted(b"SSH-2.0-x\r\n\r\n"),
    "huge-head": scripted(OK + b"X: " + b"h" * 70000 + b"\r\n\r\n"),
    "half-idle": half_idle, "endless": endless, "never-reads": never_reads,
}
SETTINGS = {"header_timeout": "1s", "idle_timeout": "5s", "body_timeout": "1s",
            "route_timeout": "1s", "stream_idle_timeout": "1s", "write_timeout": "1s",
            "upstream_connect_timeout": "1s"}


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins):
    gateway = module_gateways(settings=SETTINGS)
    o = {name: module_origins(handler) for name, handler in BACKENDS.items()}
    rules = [m.rule(f"/{name}", [name]) for name in o]
    rules += [m.rule("/timeout", ["silent"], timeouts={"request": "300ms"}),
              m.rule("/one-dead", ["one-dead"])]
    objects = [m.gateway([m.listener("http", gateway.port)]),
               m.http_route("a", rules[:15]), m.http_route("b", rules[15:])]
    for name, origin in o.items():
        objects += m.service(name, origin.port)
    gateway.dead = free_port()
    objects += m.service("one-dead", o["good"].port, gateway.dead)
    gateway.write(objects)
    gateway.origin = o
    return gateway.start()


@pytest.mark.parametrize("name, status, flags", [
    ("reset-at-once", 502, {"UC"}), ("reset-after", 502, {"UC"}), ("close-at-once", 502, {"UC"}),
    ("half-head", 502, {"UC", "UPE"}), ("bad-status", 502, {"UPE"}), ("not-http", 502, {"UPE"}),
    ("huge-head", 502, {"UPE"}), ("silent", 504, {"UT"}), ("timeout", 504, {"UT"})])
def test_backend_fails_before_its_response(gw, name, status, flags):
    response = request(gw.port, f"/{name}", method="POST", body=b"x")
    assert response.status == status
    record = gw.log(path=f"/{name}")
    assert record["response_flags"] in flags and record["response_code"] == status


@pytest.mark.parametrize("name, flags", [
    ("short-body", {"UC,TR"}), ("reset-body", {"UC,TR"}), ("short-chunk", {"UC,TR"}),
    ("bad-chunk", {"UPE"}), ("stalls", {"SI", "UT"})])
def test_backend_fails_in_its_response(gw, name, flags):
    """The client must not take what it got for whole."""
    with connect(gw.port) as s:
        s.sendall(f"GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        with pytest.raises((EOFError, ConnectionError)):
            response = Stream(s).response()
            assert response.status != 502, response.body
            assert response.status == 200
    if name != "bad-chunk":
        assert gw.log(path=f"/{name}")["response_flags"] in flags


def test_slow_backend_is_waited_for(gw):
    response = request(gw.port, "/trickle")
    assert response.status == 200 and response.body == b"x" * 10


def test_dead_endpoint_is_passed_over(gw):
    assert [request(gw.port, "/one-dead").status for _ in range(12)] == [200] * 12


def test_dead_pooled_connection_is_retried(gw):
    assert [request(gw.port, "/half-idle").status for _ in range(6)] == [200] * 6


def test_backend_that_never_reads(gw):
    body = b"x" * (16 << 20)
    with connect(gw.port) as s:
        s.sendall(b"POST /never-reads HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
                  % len(body))
        try:
            s.sendall(body)
        except OSError:
            pass
        data = read_all(s)
    assert data == b"" or b" 50" in data[:15]
    assert gw.memory_kib() < 400 << 10


def test_client_that_stops_reading(gw):
    s = connect(gw.port)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
    record = gw.log(path="/endless")  # ended by write_timeout
    assert record["response_flags"] != "-"
    s.close()
    assert gw.memory_kib() < 400 << 10


@pytest.mark.parametrize("data, status", [
    (b"GET / HT", 408), (b"GET / HTTP/1.1\r\nHost: a\r\nX", 408),
    (b"POST /good HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123", 408)])
def test_slow_request_times_out(gw, data, status):
    with connect(gw.port) as s:
        s.sendall(data)
        answer = read_all(s)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]


def test_slow_upload_is_not_a_slow_backend(gw):
    """Longer than route_timeout in all, never as long as body_timeout without a byte."""
    with connect(gw.port) as s:
        s.sendall(b"POST /good HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n")
        for _ in range(6):
            time.sleep(0.25)
            s.sendall(b"x")
        assert Stream(s).response().status == 200


def test_slowloris_does_not_extend_the_time(gw):
    with connect(gw.port) as s:
        begin = time.monotonic()
        answer = b""
        s.settimeout(0.2)
        try:
            while time.monotonic() - begin < 15:
                s.sendall(b"x" if answer else b"G")
                try:
                    piece = s.recv(4096)
                    if not piece:
                        break
                    answer += piece
                except TimeoutError:
                    pass
        except OSError:
            pass
        assert time.monotonic() - begin < 10


@pytest.mark.parametrize("cut", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                                 b"GET /silent HTTP/1.1\r\nHost: a\r\n\r\n",
                                 b"POST /good HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1",
                                 b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_client_resets(gw, cut):
    for _ in range(5):
        s = connect(gw.port)
        s.sendall(cut)
        reset(s)
    assert request(gw.port, "/good").status == 200


def test_half_closed_client_gets_its_answer(gw):
    with connect(gw.port) as s:
        s.sendall(b"GET /trickle HTTP/1.1\r\nHost: a\r\n\r\n")
        s.shutdown(socket.SHUT_WR)
        assert Stream(s).response().body == b"x" * 10


def test_everything_ends(gw):
    """No request, connection or descriptor stays behind."""
    wait_until(lambda: gw.metric("ringgate_http_requests_active") == 0, "the end of requests")
    wait_until(lambda: gw.metric("ringgate_downstream_connections_open") == 0, "closed clients")
    assert gw.descriptors() < 120


def test_many_at_once(gw):
    """64 clients, 10 requests each, some of them to broken backends."""
    failures = []

    def client(i):
        try:
            for j in range(10):
                name = ("good", "reset-after", "good", "short-body")[(i + j) % 4]
                try:
                    status = request(gw.port, f"/{name}").status
                except EOFError:
                    status = 0
                if name == "good" and status != 200:
                    failures.append((name, status))
        except Exception as error:  # told below, in the main thread
            failures.append(error)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures, failures[:5]
