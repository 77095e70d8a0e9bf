# SPDX-License-Identifier: Apache-2.0
"""Filters of HTTPRoutes beyond header changes: redirects and rewrites of backendRefs."""
import json

import pytest

import manifests as m
from wire import request


def redirect(**what):
    return {"type": "RequestRedirect", "requestRedirect": what}


def rewrite(**what):
    return {"type": "URLRewrite", "urlRewrite": what}


def replace_prefix(path):
    return {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": path}}


def replace_full(path):
    return {"path": {"type": "ReplaceFullPath", "replaceFullPath": path}}


def response_headers(**changes):
    return {"type": "ResponseHeaderModifier", "responseHeaderModifier": changes}


def field(name, value):
    return {"name": name, "value": value}


def seen(response):
    assert response.status == 200, (response.status, response.body)
    return json.loads(response.body)


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins):
    one, two = (module_origins(name=n) for n in ("one", "two"))
    gateway = module_gateways()
    rules = [
        m.rule("/full", [m.backend("one", filters=[rewrite(**replace_full("/rewritten-full"))])]),
        m.rule("/prefix", [m.backend("one", filters=[
            rewrite(hostname="inner.test", **replace_prefix("/rewritten-prefix"))])]),
        m.rule("/both", [m.backend("one", filters=[rewrite(**replace_prefix("/b"))])],
               filters=[rewrite(hostname="inner.test", **replace_prefix("/much/longer"))]),
        m.rule("/redirect-full", [m.backend("one", filters=[
            redirect(**replace_full("/redirected-full"))])]),
        m.rule("/redirect-prefix", [m.backend("one", filters=[
            redirect(statusCode=301, **replace_prefix("/redirected-prefix")),
            response_headers(set=[field("x-backend", "b")])])],
               filters=[response_headers(set=[field("x-rule", "r")])]),
        m.rule("/share", [m.backend("one", 1, filters=[redirect(hostname="other.test")]),
                          m.backend("two", 1)]),
        m.rule("/dead", ["empty"], filters=[response_headers(set=[field("x-rule", "r")])]),
    ]
    objects = [m.gateway([m.listener("http", gateway.port)]),
               m.http_route("filters", rules, ["a.test"])]
    objects += m.service("one", one.port) + m.service("two", two.port) + m.service("empty")
    gateway.write(objects)
    return gateway.start()


def test_backend_rewrite(gw):
    assert seen(request(gw.port, "/full/original"))["target"] == "/rewritten-full"
    got = seen(request(gw.port, "/prefix/original?q=1"))
    assert got["target"] == "/rewritten-prefix/original?q=1"
    assert ["Host", "inner.test"] in [[n.title(), v] for n, v in got["fields"]]


def test_rule_and_backend_rewrite(gw):
    """The backend's filter replaces what the rule's put in the place of the prefix."""
    got = seen(request(gw.port, "/both/x"))
    assert got["target"] == "/b/x"
    assert ["Host", "inner.test"] in [[n.title(), v] for n, v in got["fields"]]


def test_backend_redirect(gw):
    port = gw.port
    got = request(port, "/redirect-full/original")
    assert (got.status, got.get("location")) == (302, f"http://a.test:{port}/redirected-full")
    got = request(port, "/redirect-prefix/original")
    assert got.status == 301
    assert got.get("location") == f"http://a.test:{port}/redirected-prefix/original"


def test_response_headers_of_redirects(gw):
    """Redirects get the response fields that answers of the backend would; errors do not."""
    got = request(gw.port, "/redirect-prefix/original")
    assert (got.get("x-rule"), got.get("x-backend")) == ("r", "b")
    got = request(gw.port, "/dead")
    assert (got.status, got.get("x-rule")) == (503, None)


def test_backend_redirect_share(gw):
    statuses = [request(gw.port, "/share").status for _ in range(40)]
    assert 15 <= statuses.count(302) <= 25 and statuses.count(302) + statuses.count(200) == 40
