# SPDX-License-Identifier: Apache-2.0
"""Every byte string of t/data/http1.json through a whole gateway: what is
refused never becomes a request of the backend, what is malformed never
becomes an answer to the client."""
import json
import os
import socket
import time
from pathlib import Path

import pytest

import manifests as m
from origin import http_answer, read_request
from wire import Stream, connect, fresh_address, read_all, request, wait_until

TOP = Path(os.environ.get("abs_top_srcdir", Path(__file__).resolve().parents[2]))
VECTORS = [{**v, "data": bytes.fromhex(v["hex"])}
           for v in json.loads((TOP / "t/data/http1.json").read_text())["vectors"]]
REQUESTS = [v for v in VECTORS if v["kind"] == "request"]
RESPONSES = [v for v in VECTORS if v["kind"] == "response"]
PACES = ["whole", "byte by byte"]


def name_of(vector):
    return vector["name"].replace(" ", "-")


def send(sock, data, pace):
    """Byte by byte every byte is a segment of its own; the receiver may still find several."""
    if pace == "whole":
        sock.sendall(data)
        return
    for i in range(len(data)):
        sock.sendall(data[i:i + 1])
        time.sleep(0.0002)


def record(sock, origin):
    """Answers complete requests and keeps them."""
    stream = Stream(sock)
    while True:
        method, target, _, body, _ = read_request(stream)
        origin.requests.append((method, target, body))
        http_answer(sock, b"answer to " + target.encode(), head=method == "HEAD")


def recite(sock, origin):
    """Target /<number>/<pace>: sends that vector and ends; any other: an answer that names it."""
    stream = Stream(sock)
    while True:
        _, target, _, _, _ = read_request(stream)
        parts = target.split("/")
        if not parts[1].isdigit():
            http_answer(sock, b"answer to " + target.encode())
            continue
        try:
            send(sock, RESPONSES[int(parts[1])]["data"], PACES[int(parts[2])])
            sock.shutdown(socket.SHUT_WR)
            read_all(sock)
        finally:  # the gateway may end the connection at any byte
            origin.done.add(target)
        return


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins):
    gateway = module_gateways()
    gateway.recorder, gateway.reciter = module_origins(record), module_origins(recite)
    gateway.recorder.requests, gateway.reciter.done = [], set()
    gateway.refused, gateway.answered = {}, {}  # for the log
    gateway.write([
        m.gateway([m.listener("http", gateway.port)]),
        m.http_route("requests", [m.rule("/", ["recorder"])]),
        m.http_route("responses", [m.rule("/", ["reciter"])], ["recite.test"]),
        *m.service("recorder", gateway.recorder.port),
        *m.service("reciter", gateway.reciter.port)])
    return gateway.start()


def settle(gw):
    """What was sent to the backend before has arrived there."""
    wait_until(lambda: gw.metric("ringgate_http_requests_active") == 0, "the end of exchanges")
    assert request(gw.port, "/sentinel").body == b"answer to /sentinel"


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("vector", REQUESTS, ids=name_of)
def test_request(gw, vector, pace):
    settle(gw)
    origin = gw.recorder
    seen, sizes = len(origin.requests), sum(map(len, origin.connections))
    with connect(gw.port, source=fresh_address()) as s:
        client = "%s:%d" % s.getsockname()
        try:
            send(s, vector["data"], pace)
        except OSError:
            pass  # refused before the last byte
        # Nothing is to hang on the bytes that would come next.
        first = Stream(s).response()
        if vector["status"] == 0:
            assert first.status == 200 and first.body == b"answer to /"
            assert len(origin.requests) > seen
            method, target, body = origin.requests[seen]
            assert target == "/" and vector["data"].startswith(method.encode())
            assert body == (b"abc" if b"abc" in vector["data"] else b"")
            return
        assert first.status == vector["status"]
        assert first.get("connection") == "close" or vector["status"] == 405
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b""
    gw.refused[client] = vector["status"]
    # A broken chunk may come after the head was passed on; the request is then never complete.
    assert len(origin.requests) == seen
    if b"\r\n\r\n3" not in vector["data"] and not vector["name"].startswith("chunk"):
        assert sum(map(len, origin.connections)) == sizes
    settle(gw)
    assert [r[1] for r in origin.requests[seen:]] == ["/sentinel"]


@pytest.mark.parametrize("pace", range(len(PACES)), ids=PACES)
@pytest.mark.parametrize("number", range(len(RESPONSES)), ids=map(name_of, RESPONSES))
def test_response(gw, number, pace):
    vector = RESPONSES[number]
    target = f"/{number}/{pace}"
    with connect(gw.port) as s:
        stream = Stream(s)
        s.sendall(b"GET %b HTTP/1.1\r\nHost: recite.test\r\n\r\n" % target.encode())
        answer = stream.response()
        while answer.status < 200:
            assert vector["status"] == 0
            answer = stream.response()
        if vector["name"] != "resp 204 TE":
            # HTTP/1.1 cannot tell what came too late from the next answer: let it come.
            wait_until(lambda: target in gw.reciter.done, "the end of the backend's connection")
        # The next request of the same client gets its own answer.
        s.sendall(b"GET /next%b HTTP/1.1\r\nHost: recite.test\r\n\r\n" % target.encode())
        assert stream.response().body == b"answer to /next" + target.encode()
        assert stream.data == b""
    gw.answered[target] = "UPE" if vector["status"] == 502 else "-"
    if vector["status"] == 502:
        assert answer.status == 502
        return
    head = vector["data"].rsplit(b"HTTP/1.1 ", 1)[1] if vector["name"].startswith("resp 10") \
        else vector["data"].split(b"HTTP/1.1 ", 1)[1]
    assert answer.status == int(head[:3])
    if answer.status == 200:
        length = int(answer.get("content-length"))
        assert answer.body == head.split(b"\r\n\r\n", 1)[1][:length]


def test_log_and_metrics_name_every_one(gw):
    gw.log(path=list(gw.answered)[-1])
    gw.log(downstream_remote_address=list(gw.refused)[-1])
    entries = gw.logs()
    flags = {e["path"]: e["response_flags"] for e in entries if e.get("path") in gw.answered}
    assert flags == gw.answered
    status = {e["downstream_remote_address"]: e["response_code"] for e in entries
              if e["response_flags"] == "DPE"}
    assert gw.refused.items() <= status.items()
    assert gw.metric('ringgate_outcomes_total{outcome="downstream_protocol_error"}') >= \
        len(gw.refused)
    assert gw.metric('ringgate_outcomes_total{outcome="upstream_protocol_error"}') == \
        list(gw.answered.values()).count("UPE")


def test_nothing_else_arrived(gw):
    settle(gw)
    assert {r[1] for r in gw.recorder.requests} <= {"/", "/2", "/sentinel"}
    assert gw.process.poll() is None
