# SPDX-License-Identifier: Apache-2.0
"""What is measured: one scenario is one way of asking all peers for the same work."""
from dataclasses import dataclass

H1 = ("nginx", "haproxy", "h2o", "nghttpx", "envoy", "ringgate", "ringgate:epoll")
TLS = H1 + ("hitch",)
HANDSHAKE = ("nginx", "haproxy", "h2o", "hitch", "envoy", "ringgate")
TCP = ("nginx", "haproxy", "envoy", "ringgate", "ringgate:epoll")
ROUTING = ("nginx", "haproxy", "ringgate")


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    peers: tuple = H1
    mode: str = "http"  # how load drives it
    tcp: bool = False  # forwards bytes
    tls: str = ""  # key of the certificate: ec, rsa; "" plain
    upstream: str = "http"  # backend: http, mtls, echo, bulk
    load: tuple = ()  # more options for load
    path: str = "/1k"
    conns: int = 64
    hosts: int = 0
    rate: int = 0  # requests a second while latency is measured; 0: not
    slow: int = 0  # clients beside that read 1 MiB at some KiB a second
    unit: str = "request"  # what an operation is; MiB counts bytes

    @property
    def baseline(self):
        return self.peers[0]


SCENARIOS = {s.name: s for s in (
    Scenario("S1", "HTTP/1.1, 1 KiB", rate=5000),
    Scenario("S2", "HTTPS, HTTP/1.1, 1 KiB", TLS, tls="ec", rate=5000),
    Scenario("S3", "HTTPS, HTTP/2, 1 KiB, 16 connections of 32 streams", tls="ec", conns=16,
             load=("-m", "32"), rate=4000),
    Scenario("S4", "HTTPS to a backend by mTLS, 1 KiB",
             ("nginx", "haproxy", "nghttpx", "envoy", "ringgate", "ringgate:epoll"), tls="ec",
             upstream="mtls", rate=4000),
    Scenario("S5ec", "a TLS handshake and a request, ECDSA P-256", HANDSHAKE, mode="handshake",
             tls="ec", path="/0", unit="handshake"),
    Scenario("S5rsa", "a TLS handshake and a request, RSA 2048", HANDSHAKE, mode="handshake",
             tls="rsa", path="/0", unit="handshake"),
    Scenario("S5res", "a resumed TLS handshake and a request", HANDSHAKE, mode="handshake",
             tls="ec", load=("-R",), path="/0", unit="handshake"),
    Scenario("S6bulk", "TCP, bulk to the client", TCP, mode="bulk", tcp=True, upstream="bulk",
             conns=16, unit="MiB"),
    Scenario("S6ping", "TCP, 64 bytes there and back", TCP, mode="ping", tcp=True,
             upstream="echo", rate=8000, unit="message"),
    Scenario("S7", "HTTPS, HTTP/1.1, 1 MiB", TLS, tls="ec", path="/1m", conns=16, rate=100),
    Scenario("S9-1", "HTTP/1.1, 1 host of 5 prefixes", ROUTING, hosts=1),
    Scenario("S9-10000", "HTTP/1.1, 10,000 hosts of 5 prefixes", ROUTING, hosts=10000),
    Scenario("S10", "WebSocket, 64 bytes there and back",
             ("nginx", "haproxy", "h2o", "nghttpx", "ringgate", "ringgate:epoll"),
             mode="websocket", path="/ws", rate=8000, unit="message"),
    Scenario("R1", "HTTP/1.1, 1 KiB, every request counted against a limit",
             ("ringgate", "ringgate:embedded", "ringgate:redis")),
    Scenario("R4", "HTTP/1.1, 1 KiB, one worker and two", ("nginx", "nginx:2", "ringgate",
                                                           "ringgate:2")),
    Scenario("R5", "HTTP/1.1, 100 B to 1 MiB, 32 slow clients beside",
             path=",".join(["/100"] * 8 + ["/1k"] * 8 + ["/64k"] * 3 + ["/1m"]), conns=32,
             rate=1500, slow=32),
    Scenario("R7", "HTTP/1.1, 1 MiB", path="/1m", conns=16, rate=100),
    Scenario("R2-1", "HTTPS, 1 host of 5 prefixes", ROUTING, tls="ec", hosts=1),
    Scenario("R2-10000", "HTTPS, 10,000 hosts of 5 prefixes", ROUTING, tls="ec", hosts=10000),
)}

QUICK = ("S1", "S2", "S3", "S6bulk", "S6ping")
QUICK_PEERS = ("nginx", "haproxy", "ringgate")

# What `make pgo` learns from.
TRAINING = ("S1", "S2", "S3", "S4", "S5ec", "S5res", "S6bulk", "S6ping", "S7", "S9-1", "S10")

# S8: memory of connections that made one request and are idle.
IDLE = (
    Scenario("S8-plain", "idle connections, HTTP/1.1",
             ("nginx", "haproxy", "h2o", "nghttpx", "envoy", "ringgate")),
    Scenario("S8-tls", "idle connections, HTTPS",
             ("nginx", "haproxy", "h2o", "nghttpx", "envoy", "ringgate"), tls="ec"),
    Scenario("S8-h2", "idle connections, HTTP/2 over TLS",
             ("nginx", "haproxy", "h2o", "nghttpx", "envoy", "ringgate"), tls="ec",
             load=("-m", "1")),
)

# R3: from a change of the configuration to the first right answer.
CHANGE = Scenario("R3", "a host added to 5,000: time until it answers", ROUTING, hosts=5000)

# R6: what established connections notice of handshakes: requests at a fixed rate, alone and
# beside STORM clients that shake hands again and again (RSA 4096) and a slow one.
STORM = 16
BESIDE = Scenario("R6", f"HTTPS, 1,000 requests a second beside {STORM} clients that shake hands "
                  "(RSA 4096) and a slow one",
                  ("nginx", "haproxy", "h2o", "envoy", "ringgate", "ringgate:epoll"),
                  tls="rsa4096", conns=16, rate=1000, slow=1)
