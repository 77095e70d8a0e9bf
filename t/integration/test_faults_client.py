# SPDX-License-Identifier: Apache-2.0
"""Clients that speak another protocol, or too much at once: each gets a named
outcome in log and metrics, and others are served."""
import contextlib
import os
import random
import resource
import socket
import struct
import threading
import time

import pytest

import h2wire as h
import manifests as m
from process import AdminConnection
from wire import (Stream, connect, connect_tls, free_port, fresh_address, read_all, request, reset,
                  talk, wait_until)

CONNECTIONS = int(os.environ.get("RINGGATE_TEST_CONNECTIONS", "10000"))
GET = b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n"
HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(range(189))
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + socket.inet_aton("192.0.2.7") + \
    socket.inet_aton("192.0.2.1") + struct.pack(">HH", 1234, 80)


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins, certs):
    gateway = module_gateways(settings={"tls_handshake_timeout": "1500ms",
                                        "header_timeout": "1500ms"})
    gateway.https, gateway.proxied = free_port(), free_port()
    origin = module_origins()
    gateway.write([
        m.gateway([m.listener("http", gateway.port),
                   m.listener("https", gateway.https, "HTTPS", certs=["a"])]),
        m.gateway([m.listener("http", gateway.proxied)], name="proxied",
                  annotations={"ringgate.dev/proxy-protocol": "true"}),
        m.http_route("r", [m.rule("/", ["origin"])]),
        m.http_route("p", [m.rule("/", ["origin"])], parent="proxied"),
        m.secret("a", certs.a), *m.service("origin", origin.port)])
    gateway.origin = origin
    return gateway.start()


def client_of(sock):
    return "%s:%d" % sock.getsockname()


def tell(port, data):
    """(who we were, what came back)."""
    with connect(port, source=fresh_address()) as s:
        client = client_of(s)
        try:
            s.sendall(data)
        except OSError:
            pass
        return client, read_all(s)


@pytest.mark.parametrize("name, data", [
    ("TLS", HELLO), ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nno\r\n\r\n"), ("PROXY", V2 + GET),
    ("zeros", bytes(5000)),
    ("random", random.Random(7).randbytes(20000))],
    ids=lambda p: p if isinstance(p, str) else "")
def test_other_protocols_on_a_plain_port(gw, name, data):
    before = gw.outcomes("downstream_protocol_error")
    client, answer = tell(gw.port, data)
    assert answer == b"" or answer.split(b" ")[1] in (b"400", b"405", b"431", b"505"), answer
    entry = gw.log(downstream_remote_address=client)
    assert entry["outcome"] == "downstream_protocol_error"
    assert gw.outcomes("downstream_protocol_error") == before + 1
    assert request(gw.port, "/after").status == 200


def test_one_line_and_silence(gw):
    client, answer = tell(gw.port, b"SSH-2.0-OpenSSH_9.2\r\n")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert gw.log(downstream_remote_address=client)["outcome"] == "request_timeout"


@pytest.mark.parametrize("data", [GET, b"\0" * 5000, HELLO[:-100] + b"\xff" * 100,
                                  b"\x16\x03\x01\x40\x00" + b"\1" * 0x4000],
                         ids=["HTTP", "zeros", "broken-hello", "junk-record"])
def test_other_protocols_on_a_tls_port(gw, certs, data):
    before = gw.outcomes("downstream_tls_failed")
    client, answer = tell(gw.https, data)
    assert b"200 OK" not in answer
    assert gw.log(downstream_remote_address=client)["outcome"] == "downstream_tls_failed"
    assert gw.outcomes("downstream_tls_failed") == before + 1
    with connect_tls(gw.https, "a.test", certs.ca) as s:
        assert request(gw.https, "/tls", sock=s).status == 200


def test_handshake_that_does_not_go_on(gw):
    client, answer = tell(gw.https, HELLO[:20])
    assert answer == b""
    assert gw.log(downstream_remote_address=client)["outcome"] == "downstream_tls_failed"


@pytest.mark.parametrize("name, header, address", [
    ("v1", b"PROXY TCP4 192.0.2.5 192.0.2.1 1111 80\r\n", "192.0.2.5:1111"),
    ("v1-six", b"PROXY TCP6 2001:db8::5 2001:db8::1 1111 80\r\n", "[2001:db8::5]:1111"),
    ("v2", V2, "192.0.2.7:1234"), ("v1-unknown", b"PROXY UNKNOWN\r\n", None)],
    ids=["v1", "v1-six", "v2", "unknown"])
@pytest.mark.parametrize("pace", ["whole", "bytes"])
def test_proxy_header(gw, name, header, address, pace):
    target = f"/proxied/{name}/{pace}"
    with connect(gw.proxied) as s:
        for piece in [header] if pace == "whole" else [bytes([b]) for b in header]:
            s.sendall(piece)
        assert request(gw.proxied, target, sock=s).status == 200
        assert gw.log(path=target)["downstream_remote_address"] == (address or client_of(s))


@pytest.mark.parametrize("data", [
    GET, b"PROXY TCP4 1.2.3.4\r\n" + GET, b"PROXY TCP4 999.0.2.5 192.0.2.1 1111 80\r\n" + GET,
    b"PROXY " + b"x" * 200 + b"\r\n" + GET, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x02ab" + GET,
    V2[:12] + b"\x31" + V2[13:] + GET, b"PROXY TCP4 "],
    ids=["none", "short", "bad-address", "long", "v2-short", "v2-version", "partial"])
def test_bad_proxy_header(gw, data):
    before = gw.outcomes("proxy_header_invalid")
    seen = len(gw.origin.data)
    client, answer = tell(gw.proxied, data)
    assert answer == b"" and len(gw.origin.data) == seen
    assert gw.log(downstream_remote_address=client)["outcome"] == "proxy_header_invalid"
    assert gw.outcomes("proxy_header_invalid") == before + 1


def test_pipelining_a_hundred(gw):
    answer = talk(gw.port, b"".join(b"GET /p/%d HTTP/1.1\r\nHost: a.test\r\n\r\n" % i
                                    for i in range(100)))
    assert answer.count(b"HTTP/1.1 200 OK") == 100
    order = [answer.find(b'"/p/%d"' % i) for i in range(100)]
    assert order == sorted(order) and order[0] > 0


@pytest.mark.parametrize("data, status", [
    (b"GET /" + b"x" * 60000 + b" HTTP/1.1\r\n\r\n", 414),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 200000, 431),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + (b"X-Y: " + b"z" * 900 + b"\r\n") * 2000, 431)],
    ids=["line", "field", "fields"])
def test_heads_that_do_not_end(gw, data, status):
    client, answer = tell(gw.port, data)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert gw.log(downstream_remote_address=client)["response_code"] == status


def storm(port, count):
    """Half of the connections say nothing, half are in the middle of a head. Beyond a limit some
    are refused before they are told so."""
    held = []
    for i in range(count):
        with contextlib.suppress(ConnectionError):
            held.append(connect(port))
            held[-1].sendall(GET[:-5] if i % 2 else b"")
    return held


@pytest.fixture
def many():
    """How many connections this process and a gateway of the same limit can hold, up to 10,000."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(CONNECTIONS, hard * 45 // 100 - 20)
    if count < CONNECTIONS:
        print(f"only {count} of {CONNECTIONS} connections: the hard limit of files is {hard}")
    yield count
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ten_thousand_connections(gateways, origins, many):
    """They are held, others are served, and memory comes back."""
    gateway = gateways({"header_timeout": "600s", "idle_timeout": "600s"})
    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["origin"])]),
                   *m.service("origin", origins().port)])
    gateway.start()
    sizes = []
    for _ in range(2):
        held = storm(gateway.port, many)
        wait_until(lambda: gateway.metric("ringgate_downstream_connections_open") >= many,
                   "the storm")
        assert request(gateway.port, "/during").status == 200
        held[1].sendall(GET[-5:])
        assert Stream(held[1]).response().status == 200
        # A round of giving back comes in between: what remains is given back, too.
        for part in (held[many // 10:], held[:many // 10]):
            for s in part:
                reset(s)
            time.sleep(2.5 if sizes and len(part) > len(held) // 2 else 0)
        wait_until(lambda: gateway.metric("ringgate_downstream_connections_open") == 0)
        # What is of fixed size was touched by the first storm.
        wait_until(lambda: not sizes or gateway.memory_kib() <= sizes[0] * 1.05,
                   f"the memory of before, {sizes} KiB")
        time.sleep(0 if sizes or gateway.is_sanitized() else 5)  # two rounds of giving back
        sizes.append(gateway.memory_kib())
    assert gateway.metric("ringgate_http_requests_active") == 0


def test_connections_max(gateways, origins):
    """Beyond it a client is refused at once; those that are in are served; room comes back."""
    gateway = gateways(settings={"connections_max": 32, "header_timeout": "600s"})
    gateway.workers = 1
    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["origin"])]),
                   *m.service("origin", origins().port)])
    gateway.start()
    inside = connect(gateway.port)
    assert request(gateway.port, "/first", sock=inside).status == 200
    held = storm(gateway.port, 60)
    wait_until(lambda: gateway.metric("ringgate_downstream_connections_refused_total") > 0,
               "refusals")
    assert gateway.metric("ringgate_downstream_connections_open") <= 32
    assert request(gateway.port, "/second", sock=inside).status == 200
    for s in [inside, *held]:
        s.close()
    wait_until(lambda: gateway.metric("ringgate_downstream_connections_open") == 0)
    assert request(gateway.port, "/third").status == 200


def test_few_descriptors(gateways, origins):
    """Clients use 45 % of them: whoever is in is served, with a backend connection of his own."""
    def limited():
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    gateway = gateways({"header_timeout": "600s"}, preexec=limited)
    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["origin"])]),
                   *m.service("origin", origins().port)])
    gateway.start()
    inside = [connect(gateway.port) for _ in range(20)]
    for s in inside:
        assert request(gateway.port, "/before", sock=s).status == 200
    held = storm(gateway.port, 300)
    wait_until(lambda: gateway.outcomes("overload") >= 300 + 20 - 115, "refusals")
    # Whether all 300 came within one turn and descriptors ran out, is up to the machine.
    assert gateway.metric("ringgate_downstream_connections_open") == 256 * 45 // 100
    for s in inside:
        s.sendall(GET)
    for s in inside:
        assert Stream(s).response().status == 200
    for s in inside + held:
        s.close()
    wait_until(lambda: gateway.metric("ringgate_downstream_connections_open") == 0, "recovery")
    assert request(gateway.port, "/after").status == 200


def test_descriptors_run_out(gateways, origins):
    """Accepting fails, is counted and goes on when there are descriptors again."""
    def limited():
        resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))

    gateway = gateways(settings={"route_timeout": "1s"}, preexec=limited)
    def silent(sock, origin):
        sock.recv(1)
        origin.stop.wait(20)

    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["origin"]), m.rule("/hold", ["silent"])]),
                   *m.service("origin", origins().port),
                   *m.service("silent", origins(silent).port)])
    gateway.start()
    # One connection for all of it: a new one would want a descriptor.
    with contextlib.closing(AdminConnection(gateway.admin)) as admin:
        admin.request("GET", "/metrics")
        admin.getresponse().read()
        inside = [connect(gateway.port) for _ in range(4)]
        for s in inside:
            assert request(gateway.port, "/before", sock=s).status == 200
        held = []

        def errors():
            with contextlib.suppress(ConnectionError):
                held.append(connect(gateway.port))
                held[-1].sendall(GET.replace(b"/x", b"/hold"))  # takes two
            admin.request("GET", "/metrics")
            text = admin.getresponse().read().decode()
            return any(line.split(" ")[1] != "0" for line in text.splitlines()
                       if line.startswith("ringgate_accept_errors_total"))

        wait_until(errors, "accept errors")
        for s in inside:
            assert request(gateway.port, "/during", sock=s).status == 200
    for s in inside + held:
        s.close()
    wait_until(lambda: gateway.metric("ringgate_downstream_connections_open") == 0, "recovery")
    assert request(gateway.port, "/after").status == 200


def test_answers_are_kept_apart(gw):
    """Many clients with requests in progress at once, in any order."""
    socks = [connect(gw.port) for _ in range(40)]
    for i, s in enumerate(socks):
        s.sendall(b"GET /a/%d HTTP/1.1\r\nHost: a.test\r\n\r\n" % i)
    for i, s in reversed(list(enumerate(socks))):
        assert b'"/a/%d"' % i in Stream(s).response().body
        s.close()


def test_clients_that_give_up_make_one_dial(gateways, origins, certs):
    """Each leaves while the backend shakes hands: the next waits for the same connection."""
    begun = threading.Event()

    def silent(sock, _origin):
        begun.set()
        while sock.recv(65536):
            pass

    origin = origins(silent)
    gateway = gateways()
    gateway.workers = 1
    gateway.write([m.gateway([m.listener("http", gateway.port)]),
                   m.http_route("r", [m.rule("/", ["slow"])]),
                   *m.service("slow", origin.port),
                   m.backend_tls("slow", "slow", "echo.test", "ca"),
                   m.config_map("ca", certs.ca)])
    gateway.start()
    with h.Client(gateway.port) as client:
        for _ in range(20):
            stream = client.request("/")
            assert begun.wait(20)
            client.send(h.number(h.RST_STREAM, stream, h.CANCEL))
            assert client.sync()
    assert len(origin.connections) == 1
