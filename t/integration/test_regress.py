# SPDX-License-Identifier: Apache-2.0
"""One test for each bug that reached a build: what must not come back."""
import os
import signal
import socket
import struct
import threading
import time

import pytest

import manifests as m
import websocket
from origin import http_answer, read_request, silent
from wire import Stream, connect, request, talk, wait_until


def objects(gateway, origin):
    return [m.gateway([m.listener("http", gateway.port)]), m.http_route("r", [m.rule("/", ["b"])]),
            *m.service("b", origin.port)]


def end_promptly(gateway):
    """A second signal: all that is left is cut."""
    begin = time.monotonic()
    gateway.signal(signal.SIGTERM)
    assert gateway.wait() == 0
    assert time.monotonic() - begin < 15  # the drain time is 60 s


def test_second_signal_after_a_worker_has_ended(gateways, origins):
    gateway, origin = gateways({"drain_timeout": "60s"}), origins(silent)
    gateway.write(objects(gateway, origin))
    gateway.start()
    threads = f"/proc/{gateway.process.pid}/task"

    def workers():
        return len(os.listdir(threads))

    before = workers()
    with connect(gateway.port) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: origin.data, "the request at the origin")
        gateway.signal(signal.SIGTERM)
        wait_until(lambda: workers() < before, "the end of the worker without a request")
        end_promptly(gateway)
    assert gateway.log(path="/")["response_flags"] == "DD"


def test_second_signal_cuts_tcp_connections(gateways, origins):
    gateway, origin = gateways({"drain_timeout": "60s"}), origins(lambda s, o: o.stop.wait(30))
    gateway.write([m.gateway([m.listener("tcp", gateway.port, "TCP")]),
                   m.tcp_route("t", ["b"]), *m.service("b", origin.port)])
    gateway.start()
    with connect(gateway.port) as s:
        wait_until(lambda: origin.sockets, "the connection at the origin")
        gateway.signal(signal.SIGTERM)
        wait_until(lambda: gateway.get("/healthz/ready")[0] == 503, "the drain")
        end_promptly(gateway)
        s.close()


def test_body_is_not_lost_in_a_retry(gateways, origins):
    """The first part of a request reached a pooled connection that died: the rest of the body may
    not vanish on the way to a second one."""
    state = {"connections": 0, "closed": False}

    def once(sock, _origin):
        stream = Stream(sock)
        state["connections"] += 1
        if state["connections"] > 1:
            _, _, _, body, _ = read_request(stream)
            http_answer(sock, body)
            return
        read_request(stream)
        http_answer(sock, b"one")
        stream.head()
        sock.close()
        state["closed"] = True

    gateway, origin = gateways(workers=1), origins(once)
    gateway.write(objects(gateway, origin))
    gateway.start()
    assert request(gateway.port, "/").body == b"one"
    with connect(gateway.port) as s:
        s.sendall(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        wait_until(lambda: state["closed"], "the end of the pooled connection")
        try:
            s.sendall(b"hello")
        except OSError:
            pass  # answered and closed already
        response = Stream(s).response()
    assert response.status == 502 or response.body == b"hello"


def moved(gateway, origin, *addresses):
    result = objects(gateway, origin)
    result[0]["spec"]["addresses"] = [{"type": "IPAddress", "value": a} for a in addresses]
    return result


def listening(port):
    """The addresses of all sockets that listen on a port."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    found = [row[1].split(":") for row in rows if row[3] == "0A"]
    return sorted(socket.inet_ntoa(struct.pack("=I", int(address, 16)))
                  for address, number in found if int(number, 16) == port)


def test_listener_moves_from_the_wildcard_to_an_address(gateways, origins):
    gateway, origin = gateways(), origins()
    gateway.write(moved(gateway, origin, "0.0.0.0"))
    gateway.start()
    for addresses in (["127.0.0.1"], ["0.0.0.0"], ["127.0.0.1", "127.0.0.2"]):
        gateway.apply(moved(gateway, origin, *addresses))
        # Who is in the queue of a socket that closes is reset.
        wait_until(lambda a=addresses: listening(gateway.port) == sorted(gateway.workers * a),
                   "the sockets of before to be closed")
        assert request(gateway.port, "/").status == 200
    assert "in use" not in gateway.errors()


def test_address_in_use_is_tried_again(gateways, origins):
    gateway, origin = gateways(), origins()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(1)
        gateway.port = s.getsockname()[1]
        gateway.write(objects(gateway, origin))
        gateway.start(ready=False)
        wait_until(lambda: "in use" in gateway.errors(), "a message about the address")
        assert not gateway.is_ready()  # nothing is bound
    wait_until(gateway.is_ready, "readiness after the address came free")
    assert request(gateway.port, "/").status == 200


def test_bad_first_configuration_is_never_ready(gateways):
    gateway = gateways()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"{gateway.folder}/notify"
        manager.bind(name)
        manager.setblocking(False)
        gateway.environment = {"NOTIFY_SOCKET": name}
        gateway.write("kind: [\n")
        gateway.start(ready=False)
        assert gateway.wait() == 78
        told = []
        try:
            while True:
                told.append(manager.recv(4096))
        except BlockingIOError:
            pass
    gateway.process = None
    assert told and not any(line.startswith(b"READY=1") for line in told)


def test_no_request_misses_a_backend_that_a_reload_drops(gateways, origins, redis):
    """A request that waits for its limit goes on with the backends it began with."""
    gateway, ports = gateways(), [origins().port, origins().port]

    def version(number):
        name = f"b{number % 2}"
        return [m.gateway([m.listener("http", gateway.port)]),
                m.http_route("r", [m.rule("/", [name])]), *m.service(name, ports[number % 2]),
                m.limit("p", "r", 1000000, "1s", store="s"), m.store("s", redis.endpoint)]

    gateway.write(version(0))
    gateway.start()
    stop, bad = threading.Event(), []

    def load():
        while not stop.is_set():
            with connect(gateway.port) as s:
                for _ in range(20):
                    status = request(gateway.port, "/", sock=s).status
                    if status != 200:
                        bad.append(status)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(1, 60):
        gateway.apply(version(number))
    stop.set()
    for thread in threads:
        thread.join()
    assert not bad


@pytest.mark.parametrize("name", ["write_timeout", "tls_handshake_timeout"])
def test_times_that_must_not_be_zero(gateways, name):
    """0 means no limit elsewhere; here it cut every handshake, or failed an assertion."""
    gateway = gateways({name: "0"})
    gateway.start(ready=False)
    assert gateway.wait() == 2
    gateway.process = None
    assert name in gateway.errors()


def test_redirect_without_a_host(gateways, origins):
    """HTTP/1.0 may leave Host out: no authority can be told then."""
    gateway, origin = gateways(), origins()
    result = objects(gateway, origin)
    result[1]["spec"]["rules"] = [{"filters": [
        {"type": "RequestRedirect", "requestRedirect": {"statusCode": 301}}]}]
    gateway.write(result)
    gateway.start()
    assert b"\r\nlocation: /x?y=1\r\n" in talk(gateway.port, b"GET /x?y=1 HTTP/1.0\r\n\r\n")


def test_connection_options_of_an_upgrade_stay_here(gateways, origins):
    def upgrade(sock, _origin):
        _, _, fields, _, _ = read_request(Stream(sock))
        extra = ["Connection: X-Hop", "X-Hop: 1", "X-End: 2"]
        sock.sendall(websocket.answer(fields, extra) + b"hello")

    gateway, origin = gateways(), origins(upgrade)
    gateway.write(objects(gateway, origin))
    gateway.start()
    with connect(gateway.port) as s:
        s.sendall(websocket.handshake())
        stream = Stream(s)
        first, fields = stream.head()
        assert stream.exactly(5) == b"hello"
    names = [name.lower() for name, _ in fields]
    assert first.split(" ")[1] == "101"
    assert "x-end" in names and "x-hop" not in names
    assert names.count("upgrade") == 1 and names.count("connection") == 1


@pytest.mark.parametrize("hang_up", ["close", "reset"])
def test_answer_before_a_large_body_arrives(gateways, origins, hang_up):
    """The backend answers the head and hangs up: writing fails before the answer is read."""
    def too_large(sock, _origin):
        Stream(sock).head()
        sock.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n"
                     b"Connection: close\r\n\r\nbig")
        if hang_up == "reset":
            sock.reset()

    gateway, origin = gateways(), origins(too_large)
    gateway.write(objects(gateway, origin))
    gateway.start()
    for _ in range(5):
        with connect(gateway.port) as s:
            def upload(s=s):
                try:
                    s.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n")
                    for _ in range(500):
                        s.sendall(b"x" * 100000)
                except OSError:
                    pass  # we are told to stop

            thread = threading.Thread(target=upload)
            thread.start()
            response = Stream(s).response()
            assert (response.status, response.body) == (413, b"big")
        thread.join()


def test_answer_of_ours_before_the_body_says_close(gateways, origins):
    """Nobody reads the body, so the connection ends: the client has to know."""
    gateway, origin = gateways(), origins()
    result = objects(gateway, origin)
    result[1]["spec"]["rules"] = [m.rule("/there", ["b"])]
    gateway.write(result)
    gateway.start()
    with connect(gateway.port) as s:
        s.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n"
                  b"Expect: 100-continue\r\n\r\n")
        response = Stream(s).response()
        assert response.status == 404 and response.get("connection") == "close"
    with connect(gateway.port) as s:  # all of it is here: the connection stays
        for _ in range(2):
            response = request(gateway.port, "/", "POST", body=b"123456789", sock=s)
            assert response.status == 404 and response.get("connection") is None
