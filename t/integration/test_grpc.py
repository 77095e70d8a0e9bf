# SPDX-License-Identifier: Apache-2.0
"""gRPC: which rule serves a call, and how callers are told what went wrong."""
import time

import pytest

import manifests as m
from origin import http_handler, read_request, silent
from wire import Stream, connect, free_port, request

GRPC = ("Content-Type", "application/grpc")
SERVICE = "pkg.Echo"
MESSAGE = b"\0\0\0\0\0"  # an empty one


def call(port, target=f"/{SERVICE}/Say", host="grpc.test", fields=(), **more):
    """A call over HTTP/1.1: what the gateway answers itself is the same in every version."""
    return request(port, target, "POST", host, [GRPC, *fields], MESSAGE, **more)


def assert_refused(response, status, message):
    assert response.status == 200
    assert response.get("content-type") == "application/grpc"
    assert response.all("grpc-status") == [str(status)]
    assert response.get("grpc-message") == message
    assert response.body == b"" and response.trailers == []


def late(sock, _origin):
    """A response that begins late and has a pause; its end is in trailers."""
    stream = Stream(sock)
    while True:
        _, target, _, body, _ = read_request(stream)
        assert body == MESSAGE
        time.sleep(0 if target.endswith("/Stuck") else 0.5)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\n"
                     b"Transfer-Encoding: chunked\r\nTrailer: grpc-status\r\n\r\n"
                     b"5\r\n\0\0\0\0\0\r\n")
        if target.endswith("/Cut"):
            return
        if target.endswith("/Stuck"):
            while sock.recv(65536):
                pass
        time.sleep(0.5)
        sock.sendall(b"0\r\ngrpc-status: 5\r\ngrpc-message: none%20such\r\n\r\n")


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins):
    origins = {name: module_origins(handler, name=name)
               for name, handler in (("plain", http_handler), ("late", late), ("silent", silent))}
    gateway = module_gateways(settings={"route_timeout": "200ms", "body_timeout": "200ms",
                                        "stream_idle_timeout": "1500ms"})
    refused = free_port()
    rules = [
        m.grpc_rule([m.call(SERVICE, "NoBackend")]),
        m.grpc_rule([m.call(SERVICE, "Missing")], ["missing"]),
        m.grpc_rule([m.call(SERVICE, "Empty")], ["empty"]),
        m.grpc_rule([m.call(SERVICE, "Refused")], ["refused"]),
        m.grpc_rule([m.call(SERVICE, "Limited")], ["empty"], name="limited"),
    ]
    # Not a GRPCRoute: its backends speak HTTP/1.1, which is all that these tests need.
    web = [m.rule("/plain", ["plain"]), m.rule("/late", ["late"]), m.rule("/silent", ["silent"]),
           m.rule("/short", ["silent"], timeouts={"request": "400ms"})]
    limit = m.limit("limit", "grpc", 2, kind="GRPCRoute")
    limit["spec"]["targetRefs"][0]["sectionName"] = "limited"
    objects = [m.gateway([m.listener("http", gateway.port)]),
               m.grpc_route("grpc", rules, ["grpc.test"]), m.http_route("web", web, ["web.test"]),
               *m.service("empty"), *m.service("refused", refused), limit]
    for name, origin in origins.items():
        objects += m.service(name, origin.port)
    gateway.write(objects)
    gateway.origins = origins
    return gateway.start()


@pytest.mark.parametrize("method,status,message", [
    ("Unknown", 12, "route_not_found"),
    ("NoBackend", 14, "backend_not_resolved"),
    ("Missing", 14, "backend_not_resolved"),
    ("Empty", 14, "no_ready_endpoint"),
    ("Refused", 14, "upstream_connect_failed"),
])
def test_refusals(gw, method, status, message):
    assert_refused(call(gw.port, f"/{SERVICE}/{method}"), status, message)
    record = gw.log(path=f"/{SERVICE}/{method}")
    assert (record["grpc_status"], record["outcome"]) == (str(status), message)
    assert record["response_code"] == 200


def test_unknown_host(gw):
    assert_refused(call(gw.port, host="nobody.test"), 12, "route_not_found")


def test_not_grpc(gw):
    """Who does not speak gRPC is answered in plain HTTP."""
    target = f"/{SERVICE}/Unknown"
    for kind in ("application/json", "application/grpc-web+proto"):
        response = request(gw.port, target, "POST", "grpc.test", [("Content-Type", kind)], b"{}")
        assert response.status == 404 and response.get("grpc-status") is None
    assert request(gw.port, target, host="grpc.test").status == 404


def test_limited(gw):
    statuses = [call(gw.port, f"/{SERVICE}/Limited") for _ in range(4)][2:]
    for response in statuses:
        assert_refused(response, 8, "rate_limited: limit")
        assert 1000 <= int(response.get("grpc-retry-pushback-ms")) <= 60000
        assert response.get("retry-after") is None
        assert response.get("ratelimit-policy") == '"limit";q=2;w=60'
    gw.log(path=f"/{SERVICE}/Limited", grpc_status="8", response_flags="RL")


@pytest.mark.parametrize("path,fields", [
    ("/silent/d", [("grpc-timeout", "400m")]),
    ("/silent/d", [("grpc-timeout", "400000u")]),
    ("/silent/d", [("grpc-timeout", "0n")]),
    ("/short/d", []),  # the route's
    ("/short/d", [("grpc-timeout", "1H")]),  # the shorter one counts
])
def test_deadline(gw, path, fields):
    assert_refused(call(gw.port, path, "web.test", fields), 4, "upstream_timeout")


def test_timeout_goes_on(gw):
    """The backend is told as the caller said it."""
    response = call(gw.port, "/plain/x", "web.test", [("grpc-timeout", "1H"), ("te", "trailers")])
    assert b'["grpc-timeout", "1H"]' in response.body


@pytest.mark.parametrize("value", ["1", "S", "123456789S", "1s", "-1S", "1.5S", ""])
def test_bad_timeout(gw, value):
    response = call(gw.port, "/silent/bad", "web.test", [("grpc-timeout", value)])
    assert_refused(response, 13, "downstream_protocol_error")


def test_no_hurry(gw):
    """route_timeout is for others: a call waits as long as its caller does."""
    response = call(gw.port, "/late/x", "web.test")
    assert response.status == 200 and response.body == MESSAGE
    assert ("grpc-status", "5") in response.trailers
    gw.log(path="/late/x", grpc_status="5")
    assert request(gw.port, "/late/x", "POST", "web.test", body=MESSAGE).status == 504


def test_resting_body(gw):
    """Nor does body_timeout count."""
    with connect(gw.port) as sock:
        sock.sendall(b"POST /plain/rest HTTP/1.1\r\nHost: web.test\r\nContent-Length: 10\r\n"
                     b"Content-Type: application/grpc+proto\r\n\r\n" + MESSAGE)
        time.sleep(0.6)
        sock.sendall(MESSAGE)
        assert b'"length": 10' in Stream(sock).response("POST").body


def test_silence(gw):
    """But silence has an end."""
    assert_refused(call(gw.port, "/silent/idle", "web.test"), 14, "stream_idle_timeout")


@pytest.mark.parametrize("fields,status,message", [
    ([("grpc-timeout", "1S")], 4, "upstream_timeout"),
    ([], 14, "upstream_truncated_response"),
])
def test_trailers_in_place(gw, fields, status, message):
    """A response that has begun still ends with a status."""
    target = "/late/Stuck" if fields else "/late/Cut"
    response = call(gw.port, target, "web.test", fields)
    assert response.status == 200 and response.body == MESSAGE
    assert response.trailers == [("grpc-status", str(status)), ("grpc-message", message)]
    gw.log(path=target, grpc_status=str(status), outcome=message)


def test_precedence(gateways, origins):
    """Which rule a call reaches is seen by what it lacks: 12, 14, or a route of HTTP."""
    gateway = gateways()
    web = origins(name="web")
    gateway.write([
        m.gateway([m.listener("http", gateway.port)]),
        m.grpc_route("calls", [
            m.grpc_rule([m.call(SERVICE)], ["empty"]),
            m.grpc_rule([m.call(SERVICE, "Say")]),
            m.grpc_rule([m.call("other[.].*", "Get.+", type="RegularExpression")], ["empty"]),
        ], ["calls.test"]),
        m.http_route("web", [m.rule("/", ["web"])], ["calls.test", "web.test"]),
        m.http_route("wide", [m.rule("/", ["web"])], ["*.test"]),
        *m.service("empty"), *m.service("web", web.port)])
    gateway.start()
    for target, message in (("Say", "backend_not_resolved"), ("Else", "no_ready_endpoint")):
        assert_refused(call(gateway.port, f"/{SERVICE}/{target}", "calls.test"), 14, message)
    assert_refused(call(gateway.port, "/other.A/GetIt", "calls.test"), 14, "no_ready_endpoint")
    for target in ("/other.A/Put", f"/{SERVICE.lower()}/Say"):
        assert_refused(call(gateway.port, target, "calls.test"), 12, "route_not_found")
    # The younger routes of the other kind have nothing of the listener, not even what is free.
    status = (gateway.status / "gateway.networking.k8s.io_HTTPRoute/test/web.yaml").read_text()
    assert "HostnameConflict" in status
    assert request(gateway.port, "/", host="web.test").status == 404
