# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 backends: shared connections, and those that turn requests away."""
import signal
import threading
import time

import http2
import manifests as m
from h2.settings import SettingCodes
from h2site import h2_dial, serve
from origin import server_context
from wire import connect, request, wait_until


def test_goaway_and_refused_streams_are_tried_again(gateways, origins, certs):
    """The first connection refuses POST /refused and ends with a GOAWAY that does not cover
    /goaway; the second serves."""
    seen = []

    def at_head(peer, number):
        path = peer.stream(number).get(":path")
        seen.append(path)
        if seen.count(path) > 1 or path == "/plain":
            return False
        if path == "/refused":
            peer.h2.reset_stream(number, 7)
        else:
            peer.h2.close_connection(0, last_stream_id=number - 2)
        peer.flush()
        return True

    origin = origins(http2.handler(at_head=at_head))
    gateway = serve(gateways, certs, m.h2_service("b", origin.port))
    for method, path in [("POST", "/refused"), ("GET", "/goaway"), ("POST", "/goaway2")]:
        peer = h2_dial(gateway)
        with peer.sock:
            assert peer.request("/plain").status == 200
            message = peer.request(path, method)
            assert message.status == 200, (path, message.body)
        assert gateway.log(path=path)["attempts"] == 2


def test_a_reset_with_another_code_is_not_tried_again(gateways, origins, certs):
    seen = []

    def at_head(peer, number):
        seen.append(number)
        peer.h2.reset_stream(number, 2)
        peer.flush()
        return True

    origin = origins(http2.handler(at_head=at_head))
    gateway = serve(gateways, certs, m.h2_service("b", origin.port))
    with connect(gateway.port) as s:
        response = request(gateway.port, "/", sock=s)
    assert response.status == 502 and len(seen) == 1


def test_streams_beyond_the_limit_of_a_backend(gateways, origins, certs):
    """A backend that takes two streams at a time gets more connections, and all are served."""
    origin = origins(http2.handler(settings={SettingCodes.MAX_CONCURRENT_STREAMS: 2}))
    gateway = serve(gateways, certs, m.h2_service("b", origin.port))
    peer = h2_dial(gateway)
    with peer.sock:
        assert peer.request("/first").status == 200
        numbers = [peer.open(f"/{i}") for i in range(10)]
        assert [peer.finish(n).status for n in numbers] == [200] * 10


def test_a_burst_makes_one_connection(gateways, origins, certs):
    """Cold: nothing is known of the backend, and everybody wants it at once."""
    origin = origins(http2.handler())
    gateway = serve(gateways, certs, m.h2_service("b", origin.port))
    peer = h2_dial(gateway)
    with peer.sock:
        numbers = [peer.open(f"/{i}") for i in range(60)]
        assert [peer.finish(n).status for n in numbers] == [200] * 60
    assert len(origin.connections) == 1


def test_a_dial_that_fails_fails_for_all(gateways, origins, certs):
    origin = origins(http2.handler())
    gateway = serve(gateways, certs, m.h2_service("b", origin.port))
    origin.close()
    peer = h2_dial(gateway)
    with peer.sock:
        numbers = [peer.open(f"/{i}") for i in range(20)]
        assert [peer.finish(n).status for n in numbers] == [503] * 20


def test_a_goaway_lets_streams_end(gateways, origins, certs):
    """Streams that the GOAWAY covers are answered; what comes later goes to a new connection."""
    def at_head(peer, number):
        if peer.stream(number).get(":path") != "/last":
            return False
        peer.send_head(number, [(":status", "200")])
        peer.h2.close_connection(0, last_stream_id=number)
        peer.h2.state_machine.state = peer.state
        peer.flush()
        time.sleep(0.1)
        peer.send_body(number, b"done")
        return True

    origin = origins(http2.handler(at_head=at_head))
    gateway = serve(gateways, certs, m.h2_service("b", origin.port))
    peer = h2_dial(gateway)
    with peer.sock:
        assert peer.request("/first").status == 200
        numbers = [peer.open("/last"), peer.open("/after")]
        assert peer.finish(numbers[0]).body == b"done"
        assert peer.finish(numbers[1]).status == 200
        assert peer.request("/more").status == 200
    assert len(origin.connections) == 2


def test_a_reload_that_drops_a_backend_drains_it(gateways, origins, certs):
    go, ended = threading.Event(), threading.Event()

    def at_head(peer, number):
        assert go.wait(20)
        return False

    def watched(sock, origin):
        http2.handler(at_head=at_head)(sock, origin)
        ended.set()

    old, new = origins(watched), origins()
    gateway = serve(gateways, certs, m.h2_service("b", old.port))
    peer = h2_dial(gateway)
    with peer.sock:
        number = peer.open("/old")
        wait_until(lambda: old.data, "the request at the backend")
        gateway.apply([m.gateway([m.listener("http", gateway.port)]),
                       m.http_route("r", [m.rule("/", ["c"])]), *m.service("c", new.port)])
        assert not ended.is_set()
        go.set()
        assert peer.finish(number).status == 200
    assert ended.wait(20)


def test_a_tls_backend_without_h2(gateways, origins, certs):
    origin = origins(context=server_context(certs.echo))
    gateway = serve(gateways, certs, [
        *m.h2_service("b", origin.port), m.backend_tls("b", "b", "echo.test", "ca"),
        m.config_map("ca", certs.ca)])
    with connect(gateway.port) as s:
        assert request(gateway.port, "/", sock=s).status == 503
    record = gateway.log(path="/")
    assert record["outcome"] == "upstream_tls_failed"
    assert "does not speak HTTP/2" in record["response_code_details"]


def test_a_backend_that_says_nothing(gateways, origins, certs):
    """No SETTINGS come: those who wait for them end in time."""
    origin = origins(lambda sock, o: o.stop.wait(30))
    gateway = serve(gateways, certs, m.h2_service("b", origin.port),
                    {"upstream_connect_timeout": "500ms", "route_timeout": "1s"})
    peer = h2_dial(gateway)
    with peer.sock:
        numbers = [peer.open(f"/{i}") for i in range(3)]
        assert [peer.finish(n).status for n in numbers] == [504] * 3


def test_a_silent_session_is_not_used_again(gateways, origins, certs):
    """A backend that is gone without a word keeps no request but those it has."""
    stop = threading.Event()

    def at_head(peer, number):
        if peer.stream(number).get(":path") == "/hang":
            stop.wait(30)
        return False

    origin = origins(http2.handler(at_head=at_head))
    gateway = serve(gateways, certs, m.h2_service("b", origin.port), {"route_timeout": "2s"})
    peer = h2_dial(gateway)
    with peer.sock:
        assert peer.request("/first").status == 200
        assert peer.request("/hang").status == 504
        assert peer.request("/after").status == 200
    assert len(origin.connections) == 2
    stop.set()


def test_the_drain_deadline_cuts_streams(gateways, origins, certs):
    origin = origins(http2.handler(at_head=lambda peer, number: True))
    gateway = serve(gateways, certs, m.h2_service("b", origin.port), {"drain_timeout": "300ms"})
    peer = h2_dial(gateway)
    with peer.sock:
        peer.open("/")
        wait_until(lambda: origin.data, "the request at the backend")
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0
    assert gateway.log(path="/")["outcome"] == "drained"
