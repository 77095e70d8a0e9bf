# SPDX-License-Identifier: Apache-2.0
"""Backends by name: a DNS server of our own answers, changes its mind, and
goes away."""
import http.server
import shutil
import socket
import struct
import subprocess
import threading

import pytest

import manifests as m
from wire import connect, free_port, read_all, request, wait_until

BACKEND = {"group": "gateway.networking.x-k8s.io", "kind": "XBackend"}


class Dns:
    """names: of a name, its IPv4 addresses; a name without any is NXDOMAIN."""

    def __init__(self, names):
        self.names = names
        self.silent = False
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                query, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            if len(query) < 17:
                return  # close()
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            kind = struct.unpack(">H", query[at + 1:at + 3])[0]
            known = self.names.get(".".join(labels), [])
            ips = known if kind == 1 else []
            answer = query[:2] + struct.pack(">HHHHH", 0x8180 | (0 if known else 3), 1, len(ips),
                                             0, 0) + query[12:at + 5]
            for ip in ips:
                answer += struct.pack(">HHHIH", 0xc00c, 1, 1, 1, 4) + socket.inet_aton(ip)
            if not self.silent:
                self.sock.sendto(answer, peer)

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"end", ("127.0.0.1", self.port))
        self.thread.join()
        self.sock.close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.server.server_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        pass


def xbackend(name, host, port):
    return m.thing("gateway.networking.x-k8s.io/v1alpha1", "XBackend", name,
                   {"type": "ExternalHostname", "port": {"number": port}, "protocol": "HTTP",
                    "externalHostname": {"hostname": host}})


def to(name, port):
    return {"name": name, "port": port, **BACKEND}


@pytest.fixture
def dns():
    server = Dns({"one.test": ["127.0.0.1"], "two.test": ["127.0.0.1", "127.0.0.2"],
                  "dead.test": ["127.0.0.3", "127.0.0.2", "127.0.0.4"],
                  "nobody.test": ["127.0.0.3", "127.0.0.4"]})
    yield server
    server.close()


@pytest.fixture
def gw(gateways, dns):
    port = free_port()
    servers = [http.server.ThreadingHTTPServer((ip, port), Handler)
               for ip in ("127.0.0.1", "127.0.0.2")]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    gateway = gateways(settings={"dns_servers": f"127.0.0.1:{dns.port}", "dns_timeout": "500ms",
                                 "upstream_idle_max": "0"})
    gateway.tcp = free_port()
    gateway.workers = 1
    names = ["one", "two", "dead", "nobody", "missing"]
    gateway.write([m.gateway([m.listener("http", gateway.port),
                              m.listener("tcp", gateway.tcp, "TCP")]),
                   m.http_route("a", [m.rule(f"/{name}", [to(name, port)]) for name in names]),
                   m.tcp_route("t", [to("two", port)]),
                   *[xbackend(name, f"{name}.test", port) for name in names]])
    yield gateway.start()
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(gw, path):
    response = request(gw.port, path)
    return response.status, response.body.decode()


def refused(port):
    """A TCP client is told by a reset, which may come before connect() returns."""
    try:
        with connect(port) as s:
            return read_all(s) == b""
    except ConnectionError:
        return True


def test_names(gw, dns):
    assert ask(gw, "/one") == (200, "127.0.0.1")
    assert gw.log(path="/one")["upstream_host"].startswith("127.0.0.1:")
    # In turn, and past those that are dead.
    assert {ask(gw, "/two")[1] for _ in range(4)} == {"127.0.0.1", "127.0.0.2"}
    assert [ask(gw, "/dead") for _ in range(4)] == [(200, "127.0.0.2")] * 4
    assert ask(gw, "/nobody")[0] == 503
    assert gw.log(path="/nobody")["response_flags"] == "UF"
    assert ask(gw, "/missing")[0] == 503
    assert gw.log(path="/missing")["response_flags"] == "DF"
    with connect(gw.tcp) as s:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert read_all(s).endswith((b"127.0.0.1", b"127.0.0.2"))


def test_change_is_followed(gw, dns):
    assert ask(gw, "/one") == (200, "127.0.0.1")
    dns.names["one.test"] = ["127.0.0.2"]
    wait_until(lambda: ask(gw, "/one") == (200, "127.0.0.2"), "the new address")
    # A name that is gone is gone; one that comes is there.
    del dns.names["one.test"]
    wait_until(lambda: ask(gw, "/one")[0] == 503, "the end of the name")
    dns.names["one.test"] = ["127.0.0.1"]
    wait_until(lambda: ask(gw, "/one") == (200, "127.0.0.1"), "the name")


def test_servers_away(gw, dns):
    assert ask(gw, "/one")[0] == 200
    dns.silent = True
    before = gw.metric("ringgate_dns_errors_total")
    wait_until(lambda: ask(gw, "/one") != (200, "127.0.0.1") or
               gw.metric("ringgate_dns_errors_total") > before, "a question in vain")
    assert ask(gw, "/one") == (200, "127.0.0.1")
    assert ask(gw, "/two")[0] == 503
    assert gw.log(path="/two")["response_flags"] == "DF"
    assert refused(gw.tcp)


def test_limit_store_by_name(gw, dns):
    """Not there at first, then at the second address: every attempt asks again."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    port = free_port()
    redis = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save",
                              "", "--appendonly", "no", "--dir", str(gw.folder)],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        gw.apply([m.store("redis", f"redis.test:{port}"),
                  m.limit("p", "a", 2, store="redis")], name="limit.yaml")
        assert ask(gw, "/one")[0] == 200
        dns.names["redis.test"] = ["127.0.0.3", "127.0.0.1"]
        wait_until(lambda: gw.metric('ringgate_ratelimit_store_state{store="test/redis",'
                                     'state="closed"}') == 1, "the store")
        assert {ask(gw, "/one")[0] for _ in range(4)} == {200, 429}
    finally:
        redis.kill()
        redis.wait()


def test_client_leaves_while_waiting(gw, dns):
    dns.silent = True
    for _ in range(3):
        with connect(gw.port) as s:
            s.sendall(b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n")
        try:
            connect(gw.tcp).close()
        except ConnectionError:
            pass
    dns.silent = False
    wait_until(lambda: ask(gw, "/one") == (200, "127.0.0.1"), "the name")
