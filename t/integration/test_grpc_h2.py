# SPDX-License-Identifier: Apache-2.0
"""Calls over HTTP/2 from end to end: in clear and over TLS, to backends by prior knowledge and over
TLS."""
import signal
import time

import pytest
from h2.connection import ConnectionState

import manifests as m
from grpc_peer import Caller, echo, server
from origin import server_context
from wire import client_context, connect, free_port, refusing_port, wait_until

SERVICE = "pkg.Echo"


refused = set()


def say(call):
    """What the method's name says."""
    method = call.head[":path"].rsplit("/", 1)[1]
    if method == "Silent":
        call.wait(lambda seen: seen.reset is not None)
    elif method == "Refuse":
        call.finish()
        call.refuse(5, [("grpc-message", "no%20such%E2%98%BA"), ("x-why", "w")])
    elif method == "Unavailable":
        call.finish()
        call.refuse(14)
    elif method == "Early":
        call.wait(lambda seen: seen.body)
        call.answer()
        call.send(b"enough")
        call.close(3)
    elif method == "Cut":
        call.finish()
        call.answer()
        call.send(b"part")
        call.peer.sock.close()
    elif method == "RefuseOnce":
        mark = call.head["x-mark"]
        if mark in refused:
            stream(call)
        else:
            refused.add(mark)
            call.wait(lambda seen: seen.body)
            call.cancel(7)
    elif method.startswith("Reset"):
        call.finish()
        if method.endswith("Late"):
            call.answer()
            call.send(b"part")
        call.cancel(int(method.split("_")[1]))
    elif method == "Leave":
        call.finish()
        call.peer.h2.close_connection()  # GOAWAY, whose last stream is this one
        call.peer.h2.state_machine.state = ConnectionState.SERVER_OPEN
        echo(call)
        call.peer.sock.close()
    elif method == "Stream":
        stream(call)
    else:
        echo(call)


def stream(call):
    """Answers each message when it comes, with pauses."""
    call.answer()
    sent = 0
    while True:
        call.wait(lambda seen, n=sent + 1: seen.ended or len(seen.body) >= 6 * n)
        if len(call.replies) == sent:
            break
        call.send(b"re:" + call.replies[sent])
        sent += 1
    call.close()


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins, certs):
    tls = server_context(certs.echo, alpn=["h2"])
    old = server_context(certs.echo, alpn=["http/1.1"])
    origins = {"say": module_origins(server(say)), "other": module_origins(server(echo)),
               "secure": module_origins(server(echo), context=tls),
               "wrong": module_origins(server(echo), context=tls),
               "old": module_origins(server(echo), context=old)}
    gateway = module_gateways(settings={"route_timeout": "200ms", "body_timeout": "200ms"})
    gateway.tls_port = free_port()
    added = {"requestHeaderModifier": {"set": [{"name": "x-gateway", "value": "edge"}]}}
    rules = [
        m.grpc_rule([m.call(SERVICE)], ["say"],
                    filters=[{"type": "RequestHeaderModifier", **added}]),
        m.grpc_rule([m.call("pkg.Shared")], [m.backend("say", 2), m.backend("other", 1)]),
        m.grpc_rule([{**m.call("pkg.Heads"), "headers": [
            {"name": "version", "value": "two"},
            {"name": "color", "type": "RegularExpression", "value": "r.*"}]}], ["other"]),
        m.grpc_rule([m.call("pkg.Secure")], ["secure"]),
        m.grpc_rule([m.call("pkg.Wrong")], ["wrong"]),
        m.grpc_rule([m.call("pkg.Old")], ["old"]),
        m.grpc_rule([m.call("pkg.Refused")], ["refused"]),
        m.grpc_rule([m.call("pkg.Half"), m.call("grpc.health.v1.Health")], ["half"]),
        m.grpc_rule([m.call("pkg.Mirrored")], ["say"], filters=[
            {"type": "RequestMirror", "requestMirror": {"backendRef": m.backend("other")}}]),
        m.grpc_rule([m.call("pkg.Limited")], ["other"], name="limited"),
    ]
    limit = m.limit("limit", "grpc", 2, kind="GRPCRoute")
    limit["spec"]["targetRefs"][0]["sectionName"] = "limited"
    objects = [
        m.gateway([m.listener("http", gateway.port),
                   m.listener("tls", gateway.tls_port, "HTTPS", certs=["a"])]),
        m.grpc_route("grpc", rules, ["grpc.test", "a.test"]), limit,
        *m.service("refused", free_port()),
        *m.service("half", origins["say"].port, refusing_port()),
        m.secret("a", certs.a), m.config_map("ca", certs.ca),
        m.backend_tls("secure", "secure", "echo.test", "ca"),
        m.backend_tls("wrong", "wrong", "other.test", "ca"),
        m.backend_tls("old", "old", "echo.test", "ca")]
    for name, origin in origins.items():
        objects += m.service(name, origin.port)
    gateway.write(objects)
    gateway.origins, gateway.certs = origins, certs
    return gateway.start()


@pytest.fixture(params=["h2c", "tls"])
def caller(request, gw):
    if request.param == "h2c":
        sock, host, scheme = connect(gw.port), "grpc.test", "http"
    else:
        context = client_context(gw.certs.ca, alpn=["h2", "http/1.1"])
        sock = context.wrap_socket(connect(gw.tls_port), server_hostname="a.test")
        assert sock.selected_alpn_protocol() == "h2"
        host, scheme = "a.test", "https"
    with Caller(gw.port, sock, scheme) as caller:
        caller.host = host
        yield caller


def call(caller, path, message=b"hello", fields=(), end=True):
    return caller.call(path, caller.host, fields, message, end)


def assert_refused(ended, status, message):
    assert ended.finish().status == (status, message)
    assert ended.head[":status"] == "200" and ended.trailers == {} and ended.data == b""
    assert ended.head["content-type"] == "application/grpc"


def test_unary(gw, caller):
    mark = str(time.monotonic())
    ended = call(caller, f"/{SERVICE}/Say", b"hello", [("x-mark", mark)]).finish()
    assert ended.replies == [b"hello"] and ended.status == (0, "")
    assert ended.head["x-head"] == "h" and ended.trailers["x-trailer-bin"] == "AAEC"
    head = next(h for h in gw.origins["say"].heads if h.get("x-mark") == mark)
    assert head[":path"] == f"/{SERVICE}/Say" and head[":authority"] == caller.host
    assert head["te"] == "trailers" and head["x-gateway"] == "edge"
    assert gw.origins["say"].data.startswith(b"PRI * HTTP/2.0")
    record = gw.log(path=f"/{SERVICE}/Say", grpc_status="0", authority=caller.host)
    assert (record["protocol"], record["response_code"]) == ("HTTP/2", 200)


def test_many_at_once(caller):
    calls = [call(caller, f"/{SERVICE}/Say", b"%d" % i) for i in range(50)]
    for i, each in enumerate(calls):
        assert each.finish().replies == [b"%d" % i]


def test_matches(caller):
    both = [("version", "two"), ("color", "red")]
    assert call(caller, "/pkg.Heads/X", fields=both).finish().status == (0, "")
    assert_refused(call(caller, "/pkg.Heads/X", fields=both[:1]), 12, "route_not_found")
    assert_refused(call(caller, "/Pkg.Heads/X", fields=both), 12, "route_not_found")
    assert_refused(caller.call("/pkg.Echo/Say", "nobody.test", message=b""), 12,
                   "route_not_found")


def test_weights(gw, caller):
    before = len(getattr(gw.origins["other"], "heads", []))
    for _ in range(30):
        assert call(caller, "/pkg.Shared/X").finish().status == (0, "")
    assert len(gw.origins["other"].heads) - before == 10


def test_stream(caller):
    """Both directions at once, with rests that are longer than all times for other requests."""
    stream_call = call(caller, f"/{SERVICE}/Stream", b"0", end=False)
    for i in range(3):
        stream_call.wait(lambda seen, n=i + 1: len(seen.body) >= 9 * n)
        time.sleep(0.3)
        if i < 2:
            stream_call.send(b"%d" % (i + 1))
    stream_call.end()
    assert stream_call.finish().replies == [b"re:0", b"re:1", b"re:2"]
    assert stream_call.status == (0, "")


def test_trailers_only(gw, caller):
    """A backend's own refusal passes as it is."""
    ended = call(caller, f"/{SERVICE}/Refuse").finish()
    assert ended.status == (5, "no%20such%E2%98%BA") and ended.head["x-why"] == "w"
    assert ended.trailers == {} and ended.data == b""
    gw.log(path=f"/{SERVICE}/Refuse", grpc_status="5")


def test_early_end(caller):
    """The server has heard enough; the caller has more to say."""
    ended = call(caller, f"/{SERVICE}/Early", end=False).finish()
    assert ended.replies == [b"enough"] and ended.status[0] == 3
    assert call(caller, f"/{SERVICE}/Say").finish().status == (0, "")


def test_cut(gw, caller):
    ended = call(caller, f"/{SERVICE}/Cut").finish()
    assert ended.replies == [b"part"] and ended.status == (14, "upstream_truncated_response")
    gw.log(path=f"/{SERVICE}/Cut", grpc_status="14")


@pytest.mark.parametrize("code, status", [(0, 13), (1, 13), (2, 13), (3, 13), (8, 1), (10, 13),
                                          (11, 8), (12, 7), (99, 13)])
def test_reset(gw, caller, code, status):
    """Whatever a backend resets a call with, the caller gets a status: none that invites to make it
    again, for it may have been done (PROTOCOL-HTTP2.md)."""
    assert_refused(call(caller, f"/{SERVICE}/Reset_{code}"), status,
                   "upstream_reset_before_response")
    ended = call(caller, f"/{SERVICE}/Reset_{code}_Late").finish()
    assert ended.replies == [b"part"] and ended.status == (status, "upstream_truncated_response")
    gw.log(path=f"/{SERVICE}/Reset_{code}_Late", grpc_status=str(status))


def test_refused_unprocessed(gw, caller):
    """REFUSED_STREAM: the call is made once more with what it has said, and goes on from there."""
    mark = str(time.monotonic())
    retried = call(caller, f"/{SERVICE}/RefuseOnce", b"0", [("x-mark", mark)], end=False)
    retried.wait(lambda seen: len(seen.body) >= 9)
    retried.send(b"1", end=True)
    assert retried.finish().replies == [b"re:0", b"re:1"] and retried.status == (0, "")
    gw.log(path=f"/{SERVICE}/RefuseOnce", attempts=2)


def test_refused_large(caller):
    """More than is kept is sent once."""
    mark = str(time.monotonic())
    ended = call(caller, f"/{SERVICE}/RefuseOnce", b"x" * 20000, [("x-mark", mark)])
    assert_refused(ended, 14, "upstream_reset_before_response")


def test_backend_leaves(caller):
    """GOAWAY lets the call end, and the next ones go over another connection."""
    for _ in range(3):
        ended = call(caller, f"/{SERVICE}/Leave").finish()
        assert ended.replies == [b"hello"] and ended.status == (0, "")


def test_cancel(gw, caller):
    """The backend hears that nobody waits any more."""
    waiting = call(caller, f"/{SERVICE}/Silent", end=False)
    time.sleep(0.2)
    waiting.cancel()
    assert call(caller, f"/{SERVICE}/Say").finish().status == (0, "")
    gw.log(path=f"/{SERVICE}/Silent", outcome="downstream_closed")


@pytest.mark.parametrize("end", [True, False])
def test_deadline(caller, end):
    fields = [("grpc-timeout", "300m")]
    assert_refused(call(caller, f"/{SERVICE}/Silent", fields=fields, end=end), 4,
                   "upstream_timeout")
    assert call(caller, f"/{SERVICE}/Say").finish().status == (0, "")


@pytest.mark.parametrize("service,message", [
    ("Refused", "upstream_connect_failed"),
    ("Wrong", "upstream_tls_failed"),
    ("Old", "upstream_tls_failed"),
])
def test_unavailable(caller, service, message):
    assert_refused(call(caller, f"/pkg.{service}/X"), 14, message)


def test_a_dead_backend(gw, caller):
    """Its calls go to the other one; after three it is left alone. What a backend says of itself is
    the caller's: it is asked all the same."""
    for path in ("/pkg.Half/Say", "/pkg.Half/Say", "/grpc.health.v1.Health/Check"):
        for _ in range(4):
            assert call(caller, path).finish().status == (0, "")
    wait_until(lambda: "endpoint ejected" in gw.errors() and "test/half" in gw.errors(), "ejection")
    for _ in range(6):
        assert call(caller, "/pkg.Half/Unavailable").finish().status[0] == 14
    assert call(caller, "/pkg.Half/Say").finish().status == (0, "")


def test_backend_tls(gw, caller):
    assert call(caller, "/pkg.Secure/X").finish().replies == [b"hello"]
    assert call(caller, "/pkg.Secure/X").finish().status == (0, "")


def test_mirror(gw, caller):
    mark = str(time.monotonic())
    ended = call(caller, "/pkg.Mirrored/Say", fields=[("x-mark", mark)]).finish()
    assert ended.replies == [b"hello"] and ended.status == (0, "")

    def copies():
        seen = getattr(gw.origins["other"], "heads", [])  # made by its first connection
        return [head for head in seen if head.get("x-mark") == mark]

    assert wait_until(copies, "a copy")[0]["te"] == "trailers"


def test_limited(gw, caller):
    def denied():
        return call(caller, "/pkg.Limited/X").finish().status == (8, "rate_limited: limit")

    wait_until(denied, "a denial")
    assert_refused(call(caller, "/pkg.Limited/X"), 8, "rate_limited: limit")


def test_drain_and_reload(gateways, origins):
    """A stream that is open goes on over a reload that takes its route away, and over the begin of
    a drain."""
    gateway = gateways()
    backend = origins(server(say))
    objects = [m.gateway([m.listener("http", gateway.port)]), *m.service("say", backend.port)]
    gateway.write([*objects, m.grpc_route("grpc", [m.grpc_rule([m.call(SERVICE)], ["say"])])])
    gateway.start()
    with Caller(gateway.port) as caller:
        open_call = caller.call(f"/{SERVICE}/Stream", message=b"0", end=False)
        open_call.wait(lambda seen: len(seen.body) >= 9)
        gateway.apply(objects)
        assert_refused(caller.call(f"/{SERVICE}/Say", message=b""), 12, "route_not_found")
        gateway.signal(signal.SIGTERM)
        caller.peer.until(lambda: caller.peer.goaways)
        open_call.send(b"1", end=True)
        assert open_call.finish().replies == [b"re:0", b"re:1"]
        assert open_call.status == (0, "")
    assert gateway.wait() == 0
