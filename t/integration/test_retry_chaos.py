# SPDX-License-Identifier: Apache-2.0
"""Retries and mirrors together, with backends and clients that do anything at any time. What is
asked for is the end: nothing of a request is left, every answer is one of those that may come."""
import os
import random
import threading
import time

from h2.exceptions import ProtocolError

import http2
import manifests as m
from origin import http_answer, read_request
from wire import Stream, connect, wait_until

SECONDS = float(os.environ.get("RINGGATE_CHAOS_S", "1.5"))
STATUSES = {200, 500, 502, 503, 504}


def whims(sock, origin):
    """An HTTP/1.1 backend that does what it likes."""
    stream = Stream(sock)
    rand = random.Random(id(sock))
    while True:
        whim = rand.randrange(12)
        if whim == 0:  # before it read anything
            sock.reset()
            return
        if whim == 1:  # in the middle of a body, perhaps
            stream.head()
            sock.reset()
            return
        if whim == 2:  # an early refusal, the body unread
            stream.head()
            http_answer(sock, b"no" * 100, "500 No")
            return
        read_request(stream)
        if whim == 3:
            return
        if whim == 4:
            time.sleep(0.06)
        if whim == 5:  # breaks off in its answer
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            return
        if whim < 8:
            http_answer(sock, b"x" * rand.choice([0, 10, 200000]), "500 No")
        else:
            http_answer(sock, b"y" * rand.choice([0, 10, 200000]))


def whims_h2(peer, number):
    try:
        answer_h2(peer, number)
    except ProtocolError:
        pass  # the gateway has given up the stream


def answer_h2(peer, number):
    rand = random.Random(number * 31 + id(peer))
    whim = rand.randrange(8)
    if whim < 3:
        peer.h2.reset_stream(number, [2, 7, 8][whim])
        peer.flush()
    elif whim == 3:
        peer.h2.close_connection(0, last_stream_id=max(number - 2, 0))
        peer.flush()
        raise EOFError
    else:
        peer.send_head(number, [(":status", "500" if whim < 6 else "200")])
        peer.send_body(number, b"z" * rand.choice([0, 10, 100000]))


def h1_client(port, rand, answers):
    with connect(port) as sock:
        stream = Stream(sock)
        for _ in range(rand.randrange(1, 6)):
            size = rand.choice([0, 10, 65536, 65537, 150000])
            path = rand.choice(["/h1", "/h2", "/mixed"])
            head = f"POST {path} HTTP/1.1\r\nHost: a.test\r\nContent-Length: {size}\r\n\r\n"
            sock.sendall(head.encode() + b"b" * (size // 2))
            if rand.randrange(8) == 0:
                return
            time.sleep(rand.choice([0, 0, 0.005]))
            sock.sendall(b"b" * (size - size // 2))
            answers.append(stream.response().status)


def h2_client(port, rand, answers):
    peer = http2.dial(port)
    with peer.sock:
        for _ in range(rand.randrange(1, 6)):
            number = peer.open(rand.choice(["/h1", "/h2", "/mixed"]), "POST", end=False)
            gives_up = rand.randrange(8) == 0
            peer.send_body(number, b"b" * rand.choice([0, 10, 65536]), end=not gives_up)
            if gives_up and rand.randrange(2):
                return
            if gives_up:
                peer.h2.reset_stream(number, 8)
                peer.flush()
                continue
            message = peer.finish(number)
            if message.fields:
                answers.append(message.status)


def test_any_order_of_faults(gateways, origins):
    def share(name, percent):
        return {"type": "RequestMirror", "requestMirror": {
            "backendRef": {"name": name, "port": 80}, "percent": percent}}

    h1 = [origins(whims) for _ in range(2)]
    h2 = origins(http2.handler(whims_h2))
    gateway = gateways({"mirror_timeout": "100ms", "mirrors_max": 20})
    retry = {"attempts": 3, "codes": [500], "backoff": "2ms"}
    timeouts = {"request": "2s", "backendRequest": "50ms"}
    filters = [share("h1", 60), share("h2", 60)]
    rules = [m.rule("/h1", ["h1"], filters=filters, retry=retry),
             m.rule("/h2", ["h2"], filters=filters, retry=retry, timeouts=timeouts),
             m.rule("/mixed", ["h1", "h2"], retry=retry, timeouts=timeouts)]
    objects = [m.gateway([m.listener("http", gateway.port)]), m.http_route("r", rules),
               m.traffic_policy("p", "h1", percent=50, count=50),
               *m.service("h1", *(o.port for o in h1)), *m.h2_service("h2", h2.port)]
    gateway.write(objects)
    gateway.start()
    answers, end = [], time.monotonic() + SECONDS

    def run(number):
        rand = random.Random(number)
        while time.monotonic() < end:
            try:
                (h1_client if number % 2 else h2_client)(gateway.port, rand, answers)
            except (OSError, EOFError, ProtocolError):
                pass  # an answer that broke off ends its connection or stream

    threads = [threading.Thread(target=run, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(SECONDS / 2)
    gateway.apply(objects[:-1])  # a reload with requests, retries and copies under way
    for thread in threads:
        thread.join()
    assert answers and set(answers) <= STATUSES, set(answers)
    wait_until(lambda: gateway.metric("ringgate_http_requests_active") == 0, "the end of requests")
    wait_until(lambda: gateway.metric("ringgate_mirror_requests_active") == 0, "the end of copies")
    assert gateway.metric("ringgate_upstream_retries_total") > 0
