# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 end to end: routes, filters, forwarding, framing."""
import hashlib
import json
import os
import socket
import threading

import pytest

import manifests as m
from manifests import field, redirect, rewrite
import websocket
from origin import http_answer, read_request, scripted
from wire import Stream, connect, free_port, read_all, request, wait_until


def modifier(kind, **changes):
    key = {"Request": "requestHeaderModifier", "Response": "responseHeaderModifier"}[kind]
    return {"type": f"{kind}HeaderModifier", key: changes}


def interim(sock, _origin):
    stream = Stream(sock)
    while True:
        read_request(stream)
        sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        http_answer(sock, b"final")


def chunked(sock, _origin):
    stream = Stream(sock)
    while True:
        read_request(stream)
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                     b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n")


def until_close(sock, _origin):
    read_request(Stream(sock))
    sock.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + b"z" * 100000)


def tunnel(sock, _origin):
    stream = Stream(sock)
    _, _, fields, _, _ = read_request(stream)
    sock.sendall(websocket.answer(fields) + b"welcome ")
    while True:
        data = stream.data or sock.recv(65536)
        stream.data = b""
        if not data:
            return
        sock.sendall(data.upper())


def large(sock, _origin):
    stream = Stream(sock)
    while True:
        read_request(stream)
        http_answer(sock, LARGE)


def early_refusal(sock, _origin):
    Stream(sock).head()
    sock.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n"
                 b"Connection: close\r\n\r\nno\n")
    sock.shutdown(socket.SHUT_WR)
    read_all(sock)  # closing with bytes unread would reset, and may take the answer away


LARGE = hashlib.sha256(b"seed").digest() * (8 << 15)  # 8 MiB


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins):
    o = {name: module_origins(handler, name=name) for name, handler in (
        ("one", None), ("two", None), ("interim", interim), ("chunked", chunked),
        ("until-close", until_close), ("tunnel", tunnel), ("large", large),
        ("early", early_refusal), ("http10", scripted(b"HTTP/1.1 204 No Content\r\n\r\n")))}
    dead = free_port()
    gateway = module_gateways()
    rules = [
        m.rule("/one", ["one"]),
        m.rule("/exact-prefix", ["one"]),
        {"matches": [{"path": {"type": "Exact", "value": "/exact"}}],
         "backendRefs": [m.backend("two")]},
        {"matches": [{"path": {"type": "RegularExpression", "value": "/re/[0-9]+"}}],
         "backendRefs": [m.backend("two")]},
        {"matches": [{**m.prefix("/match"), "headers": [field("x-version", "2")]},
                     {**m.prefix("/match"), "method": "PUT"},
                     {**m.prefix("/match"), "queryParams": [field("v", "2")]}],
         "backendRefs": [m.backend("two")]},
        m.rule("/match", ["one"]),
        m.rule("/split", [m.backend("one", 9), m.backend("two", 1), m.backend("dead", 0)]),
        m.rule("/headers", [m.backend("one", filters=[
            modifier("Request", set=[field("x-backend", "b")]),
            modifier("Response", add=[field("x-from-backend", "b")])])],
            filters=[modifier("Request", set=[field("x-set", "new")], add=[field("x-add", "2")],
                              remove=["x-gone"]),
                     modifier("Response", set=[field("x-origin", "hidden")],
                              add=[field("x-extra", "e")], remove=["content-type"])]),
        m.rule("/redirect", filters=[redirect(scheme="https", statusCode=301)]),
        m.rule("/redirect-all", filters=[redirect(
            scheme="https", hostname="other.test", port=8443, statusCode=308,
            path={"type": "ReplacePrefixMatch", "replacePrefixMatch": "/to"})]),
        m.rule("/redirect-full", filters=[redirect(
            path={"type": "ReplaceFullPath", "replaceFullPath": "/new"})]),
        m.rule("/rewrite", ["one"], filters=[rewrite(
            hostname="inner.test",
            path={"type": "ReplacePrefixMatch", "replacePrefixMatch": "/deep/er"})]),
        m.rule("/rewrite-root", ["one"], filters=[rewrite(
            path={"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"})]),
        m.rule("/no-backend"),
        m.rule("/missing", ["nowhere"]),
        m.rule("/empty", ["empty"]),
        m.rule("/dead", ["dead"]),
    ] + [m.rule(f"/{n}", [n]) for n in o if n not in ("one", "two")]
    # An HTTPRoute has at most 16 rules.
    objects = [m.gateway([m.listener("http", gateway.port)])]
    for i in range(0, len(rules), 15):
        objects.append(m.http_route(f"r{i}", rules[i:i + 15], ["a.test"]))
    objects.append(m.http_route("wild", [m.rule("/", ["two"])], ["*.wild.test"]))
    for name, origin in o.items():
        objects += m.service(name, origin.port)
    objects += m.service("empty") + m.service("dead", dead)
    gateway.write(objects)
    gateway.origin = o
    gateway.start()
    return gateway


def ask(gw, target, **more):
    response = request(gw.port, target, **more)
    assert response.status == 200, (response.status, response.body)
    return response, json.loads(response.body)


def sent(seen, name):
    return [v for n, v in seen["fields"] if n.lower() == name]


@pytest.mark.parametrize("target, origin", [
    ("/one", "one"), ("/one/", "one"), ("/one/x?y=1", "one"), ("/exact", "two"),
    ("/re/12", "two"), ("/match", "one"), ("/match?v=2", "two"), ("/match?v=3", "one")])
def test_route_by_path_and_query(gw, target, origin):
    assert ask(gw, target)[1]["origin"] == origin


@pytest.mark.parametrize("target, host", [
    ("/onetwo", "a.test"), ("/exact/x", "a.test"), ("/re/x", "a.test"), ("/", "a.test"),
    ("/one", "b.test"), ("/", "wild.test")])
def test_no_route_is_404(gw, target, host):
    response = request(gw.port, target, host=host, fields=[("User-Agent", "no-route")])
    assert response.status == 404 and b"route_not_found" in response.body
    assert gw.log(path=target, authority=host, response_flags="NR")["response_code"] == 404


def test_route_by_header_method_and_host(gw):
    assert ask(gw, "/match", fields=[("X-Version", "2")])[1]["origin"] == "two"
    assert ask(gw, "/match", method="PUT", body=b"x")[1]["origin"] == "two"
    assert ask(gw, "/any", host="x.wild.test")[1]["origin"] == "two"
    assert ask(gw, "/any", host="X.Y.WILD.TEST:80")[1]["origin"] == "two"


def test_weights(gw):
    got = [ask(gw, "/split")[1]["origin"] for _ in range(60)]
    assert 48 <= got.count("one") <= 58 and got.count("one") + got.count("two") == 60


def test_header_filters(gw):
    response, seen = ask(gw, "/headers", fields=[
        ("X-Set", "old"), ("X-Add", "1"), ("X-Gone", "x"), ("X-Kept", "k")])
    assert sent(seen, "x-set") == ["new"] and sent(seen, "x-gone") == []
    assert ",".join(sent(seen, "x-add")).replace(" ", "") == "1,2"
    assert sent(seen, "x-backend") == ["b"] and sent(seen, "x-kept") == ["k"]
    assert response.get("x-origin") == "hidden" and response.get("x-extra") == "e"
    assert response.get("x-from-backend") == "b" and response.get("content-type") is None


@pytest.mark.parametrize("target, status, location", [
    ("/redirect/x?q=1", 301, "https://a.test/redirect/x?q=1"),
    ("/redirect-all/x?q=1", 308, "https://other.test:8443/to/x?q=1"),
    ("/redirect-full/x?q=1", 302, "http://a.test:PORT/new?q=1")])
def test_redirect(gw, target, status, location):
    response = request(gw.port, target)
    assert response.status == status
    assert response.get("location") == location.replace("PORT", str(gw.port))


@pytest.mark.parametrize("target, path", [
    ("/rewrite/x?q=1", "/deep/er/x?q=1"), ("/rewrite", "/deep/er"),
    ("/rewrite-root/x", "/x"), ("/rewrite-root", "/")])
def test_rewrite(gw, target, path):
    seen = ask(gw, target)[1]
    assert seen["target"] == path
    assert sent(seen, "host") == ["a.test" if "root" in target else "inner.test"]


@pytest.mark.parametrize("target, status, flag", [
    ("/no-backend", 500, "NC"), ("/missing", 500, "NC"), ("/empty", 503, "UH"),
    ("/dead", 503, None)])
def test_backend_that_is_not_there(gw, target, status, flag):
    response = request(gw.port, target)
    assert response.status == status
    record = gw.log(path=target)
    assert record["response_code"] == status
    if flag:
        assert record["response_flags"] == flag


def test_forwarded_fields_are_ours(gw):
    seen = ask(gw, "/one", fields=[("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https"),
                                   ("X-Forwarded-Client-Cert", "Hash=forged"),
                                   ("X-Request-Id", "forged")])[1]
    assert sent(seen, "x-forwarded-for") == ["127.0.0.1"]
    assert sent(seen, "x-forwarded-proto") == ["http"]
    assert sent(seen, "x-forwarded-client-cert") == []
    assert sent(seen, "x-request-id") != ["forged"] and len(sent(seen, "x-request-id")) == 1
    assert sent(seen, "host") == ["a.test"]


def test_hop_by_hop_fields_stay_here(gw):
    seen = ask(gw, "/one", fields=[("Connection", "x-private, host"), ("X-Private", "1"),
                                   ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "close"),
                                   ("TE", "trailers"), ("X-Public", "2")])[1]
    for name in ("x-private", "keep-alive", "proxy-connection"):
        assert sent(seen, name) == [], name
    assert sent(seen, "x-public") == ["2"] and sent(seen, "host") == ["a.test"]


def test_keep_alive_and_head(gw):
    with connect(gw.port) as s:
        for method in ("GET", "HEAD", "GET", "DELETE", "HEAD"):
            response = request(gw.port, "/one", method=method, sock=s)
            assert response.status == 200
            assert (response.body == b"") == (method == "HEAD")


def test_pipelining_keeps_the_order(gw):
    count = 50
    with connect(gw.port) as s:
        s.sendall(b"".join(b"GET /one/%d HTTP/1.1\r\nHost: a.test\r\n\r\n" % i
                           for i in range(count)))
        stream = Stream(s)
        for i in range(count):
            assert json.loads(stream.response().body)["target"] == f"/one/{i}"


def test_one_byte_at_a_time(gw):
    data = (b"POST /one HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: 1\r\n\r\n")
    with connect(gw.port) as s:
        for i in range(len(data)):
            s.sendall(data[i:i + 1])
        seen = json.loads(Stream(s).response().body)
    assert seen["length"] == 5 and seen["sha256"] == hashlib.sha256(b"abcde").hexdigest()
    assert ["X-T", "1"] in seen["trailers"]


def test_http_1_0(gw):
    with connect(gw.port) as s:
        s.sendall(b"GET /chunked HTTP/1.0\r\nHost: a.test\r\n\r\n")
        response = Stream(s).response()
    assert response.body == b"hello world" and response.get("transfer-encoding") is None


def test_absolute_form(gw):
    with connect(gw.port) as s:
        s.sendall(b"GET http://a.test/one/abs HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert json.loads(Stream(s).response().body)["target"] == "/one/abs"


def test_interim_responses_pass(gw):
    with connect(gw.port) as s:
        s.sendall(b"GET /interim HTTP/1.1\r\nHost: a.test\r\n\r\n")
        stream = Stream(s)
        first, last = stream.response(), stream.response()
    assert first.status == 103 and first.get("link") == "</x>"
    assert last.status == 200 and last.body == b"final"


def test_100_continue(gw):
    with connect(gw.port) as s:
        s.sendall(b"POST /one HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\n"
                  b"Content-Length: 4\r\n\r\n")
        stream = Stream(s)
        assert stream.response().status == 100
        s.sendall(b"body")
        assert json.loads(stream.response().body)["length"] == 4


def test_chunked_response_with_trailers(gw):
    response = request(gw.port, "/chunked", fields=[("TE", "trailers")])
    assert response.body == b"hello world" and ("X-Sum", "11") in response.trailers


def test_response_until_close(gw):
    assert request(gw.port, "/until-close").body == b"z" * 100000


def test_large_bodies_both_ways(gw):
    assert request(gw.port, "/large").body == LARGE
    body = os.urandom(8 << 20)
    seen = ask(gw, "/one", method="POST", body=body)[1]
    assert seen["sha256"] == hashlib.sha256(body).hexdigest()


def test_large_chunked_request(gw):
    body = os.urandom(3 << 20)
    with connect(gw.port) as s:
        s.sendall(b"PUT /one HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(body), 70001):
            piece = body[at:at + 70001]
            s.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        s.sendall(b"0\r\n\r\n")
        seen = json.loads(Stream(s).response().body)
    assert seen["sha256"] == hashlib.sha256(body).hexdigest()


def test_empty_chunked_request(gw):
    for end, trailers in ((b"0\r\n\r\n", []), (b"0\r\nX-T: 1\r\n\r\n", [["X-T", "1"]])):
        with connect(gw.port) as s:
            s.sendall(b"POST /one HTTP/1.1\r\nHost: a.test\r\n"
                      b"Transfer-Encoding: chunked\r\n\r\n" + end)
            seen = json.loads(Stream(s).response().body)
        assert seen["length"] == 0 and seen["trailers"] == trailers


def test_answer_before_the_request_is_complete(gw):
    with connect(gw.port) as s:
        s.sendall(b"POST /early HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000000\r\n\r\n")

        def pour():
            try:
                while True:
                    s.sendall(b"x" * 65536)
            except OSError:
                pass

        thread = threading.Thread(target=pour, daemon=True)
        thread.start()
        response = Stream(s).response()
        assert response.status == 413 and response.body == b"no\n"
        thread.join(30)
        assert not thread.is_alive()


def test_upgrade_becomes_a_tunnel(gw):
    with connect(gw.port) as s:
        s.sendall(websocket.handshake("/tunnel") + b"early ")
        stream = Stream(s)
        first, fields = stream.head()
        assert first.startswith("HTTP/1.1 101") and ("Upgrade", "websocket") in [
            (n.title(), v) for n, v in fields]
        assert stream.exactly(14) == b"welcome EARLY "
        s.sendall(b"hello")
        assert stream.exactly(5) == b"HELLO"
        s.shutdown(socket.SHUT_WR)
        assert stream.to_end() == b""
    assert gw.log(path="/tunnel")["response_code"] == 101


@pytest.mark.parametrize("line, status", [
    (b"CONNECT a.test:443 HTTP/1.1", 405), (b"TRACE /one HTTP/1.1", 405),
    (b"OPTIONS * HTTP/1.1", 404), (b"GET /one HTTP/2.0", 505), (b"GET /one HTTP/1.1 x", 400)])
def test_methods_and_versions_refused(gw, line, status):
    with connect(gw.port) as s:
        s.sendall(line + b"\r\nHost: a.test\r\n\r\n")
        assert Stream(s).response().status == status


@pytest.mark.parametrize("head, status", [
    (b"GET /one HTTP/1.1\r\n\r\n", 400),
    (b"GET /one HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n", 400),
    (b"GET /one HTTP/1.1\r\nHost: a.test/x\r\n\r\n", 400),
    (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a.test\r\n\r\n", 414),
    (b"GET /one HTTP/1.1\r\nHost: a.test\r\nX: " + b"y" * 40000 + b"\r\n\r\n", 431),
    (b"GET /one HTTP/1.1\r\nHost: a.test\r\n" + b"X-Y: z\r\n" * 101 + b"\r\n", 431)])
def test_heads_refused(gw, head, status):
    with connect(gw.port) as s:
        s.sendall(head)
        response = Stream(s).response()
        assert response.status == status and response.get("connection") == "close"


def test_head_at_the_limits_passes(gw):
    fields = [(f"X-F{i}", "v") for i in range(98)]
    assert len(ask(gw, "/one", fields=fields)[1]["fields"]) >= 98


def test_dot_segments_do_not_escape_a_prefix(gw):
    for target in ("/one/../exact", "/one/%2e%2e/exact", "/one/./../exact"):
        response = request(gw.port, target)
        assert response.status in (200, 400)
        if response.status == 200:
            assert json.loads(response.body)["origin"] == "two"


def test_connections_are_reused_upstream(gw):
    before = gw.metric("ringgate_upstream_connects_total")
    with connect(gw.port) as s:
        for _ in range(20):
            assert request(gw.port, "/one", sock=s).status == 200
    assert gw.metric("ringgate_upstream_connects_total") - before <= 1


def test_metrics_and_log_agree(gw):
    ask(gw, "/one/unique")
    record = gw.log(path="/one/unique")
    assert record["response_code"] == 200 and record["response_flags"] == "-"
    assert record["method"] == "GET" and record["authority"] == "a.test"
    assert record["route"] == "r0" and record["upstream_host"].startswith("127.0.0.1:")
    assert gw.metric("ringgate_http_requests_total") >= 1
    assert wait_until(lambda: gw.metric("ringgate_http_requests_active") == 0)
