# SPDX-License-Identifier: Apache-2.0
"""TLS with backends: BackendTLSPolicy, SPIFFE identities on both sides."""
import json
import ssl

import pytest

import manifests as m
from origin import http_answer, mirror_handler, read_request, server_context
from wire import Stream, request

ECHO_ID = "spiffe://test/ns/app/sa/echo"
GATEWAY_ID = "spiffe://test/ns/edge/sa/gateway"


def demanding(identity):
    """Answers only a client that presents this SPIFFE id, as a mesh sidecar does."""
    from origin import http_handler, peer_uri

    def handler(sock, origin):
        if peer_uri(sock.sock) == identity:
            http_handler(sock, origin)

    return handler


def one_answer(resumed):
    """Answers one request on a connection, and notes whether its session was resumed."""

    def handler(sock, _origin):
        resumed.append(sock.sock.session_reused)
        read_request(Stream(sock))
        http_answer(sock, b"", fields=["Connection: close"])

    return handler


def tls12(context):
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins, certs):
    gateway = module_gateways(settings={"upstream_connect_timeout": "1s"})
    mtls = server_context(certs.echo, certs.ca)
    resumed = []
    o = {
        "good": module_origins(demanding(GATEWAY_ID), mtls, "good"),
        "wrong-san": module_origins(None, server_context(certs.echo, certs.ca)),
        "wrong-host": module_origins(None, server_context(certs.echo, certs.ca)),
        "by-host": module_origins(None, server_context(certs.echo)),
        "other-ca": module_origins(None, server_context(certs.stranger)),
        "distrusts-us": module_origins(None, server_context(certs.echo, certs.other_ca)),
        "distrusts-us-1.2": module_origins(
            None, tls12(server_context(certs.echo, certs.other_ca))),
        "wants-other-id": module_origins(demanding("spiffe://test/other"), mtls),
        "plain": module_origins(None),
        "mirror": module_origins(mirror_handler, server_context(certs.echo, certs.ca)),
        "mirror-1.2": module_origins(mirror_handler, tls12(server_context(certs.echo, certs.ca))),
        "one-each": module_origins(one_answer(resumed), server_context(certs.echo, certs.ca)),
        "no-ca": module_origins(None, server_context(certs.echo)),
    }
    policy = {name: ("echo.test", "ca", [ECHO_ID]) for name in o}
    policy["wrong-san"] = ("echo.test", "ca", ["spiffe://test/ns/app/sa/somebody-else"])
    policy["wrong-host"] = ("else.test", "ca", [])
    policy["by-host"] = ("echo.test", "ca", [])
    policy["no-ca"] = ("echo.test", "absent", [])
    objects = [
        m.gateway([m.listener("http", gateway.port)],
                  tls={"backend": {"clientCertificateRef": {"name": "identity"}}}),
        m.http_route("all", [m.rule(f"/{name}", [name]) for name in o]),
        m.secret("identity", certs.gateway), m.config_map("ca", certs.ca)]
    for name, origin in o.items():
        objects += m.service(name, origin.port)
        objects.append(m.backend_tls(name, name, *policy[name]))
    gateway.write(objects)
    gateway.origin, gateway.resumed = o, resumed
    return gateway.start()


def test_mtls_with_spiffe_ids(gw):
    for _ in range(3):
        response = request(gw.port, "/good")
        assert response.status == 200
        assert json.loads(response.body)["peer"] == GATEWAY_ID
    assert request(gw.port, "/by-host").status == 200


@pytest.mark.parametrize("name, flag", [
    ("wrong-san", "UF,TLS"), ("wrong-host", "UF,TLS"), ("other-ca", "UF,TLS"),
    ("plain", "UF"), ("no-ca", "UF,POL")])
def test_backend_that_cannot_be_trusted_is_503(gw, name, flag):
    response = request(gw.port, f"/{name}")
    assert response.status == 503
    record = gw.log(path=f"/{name}")
    # Plain text in place of a ServerHello may also end in a reset by the backend.
    assert record["response_flags"] in ((flag, "UF,TLS") if flag == "UF" else (flag,))
    assert record["response_code"] == 503
    if name == "wrong-san":
        assert "no subjectAltName matches" in record["response_code_details"]
    assert b"GET /" not in gw.origin[name].data  # never in clear, never to a stranger


@pytest.mark.parametrize("name", ["distrusts-us", "distrusts-us-1.2"])
def test_backend_that_refuses_us(gw, name):
    """With TLS 1.3 the refusal comes after our side of the handshake is over."""
    for _ in range(5):
        assert request(gw.port, f"/{name}").status == 503
    for record in [r for r in gw.logs() if r["path"] == f"/{name}"]:
        assert record["response_flags"] == "UF,TLS" and record["response_code"] == 503
        assert "peer alert" in record["response_code_details"]


def test_backend_that_hangs_up_on_us(gw):
    """No alert says that it is for our identity: as any end without a response."""
    assert request(gw.port, "/wants-other-id").status == 502
    assert gw.log(path="/wants-other-id")["response_flags"] == "UC"


@pytest.mark.parametrize("name", ["mirror", "mirror-1.2"])
def test_large_bodies_both_ways(gw, name):
    big = bytes(range(256)) * 8000
    for size in (1, 16384, 16385, len(big), 0):
        response = request(gw.port, f"/{name}", "POST", body=big[:size])
        assert response.status == 200 and response.body == big[:size]


def test_sessions_resume_with_a_backend(gw):
    """Its tickets come after the handshake, on the way to our own record layer."""
    for _ in range(12):
        assert request(gw.port, "/one-each").status == 200
    assert gw.resumed.count(True) >= 12 - gw.workers


BROKEN = {  # mistakes in a BackendTLSPolicy, and whether its targets can still be read
    "refused": (lambda text: text.replace(ECHO_ID, "notauri"), True),
    "syntax": (lambda text: text.replace('"hostname":', '"hostname"'), False),
    "version": (lambda text: text.replace("k8s.io/v1", "k8s.io/v1beta1"), True),
    "twice": (lambda text: 2 * text, True),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_broken_policy_at_the_start_is_never_plaintext(gateways, origins, certs, mistake):
    gateway = gateways()
    tls = origins(None, server_context(certs.echo))
    plain = origins(None)
    policy = m.document([m.backend_tls("tls", "tls", "echo.test", "ca", [ECHO_ID])])
    spoil, is_known = BROKEN[mistake]
    gateway.write([m.gateway([m.listener("http", gateway.port)]), m.config_map("ca", certs.ca),
                   m.http_route("all", [m.rule("/tls", ["tls"]), m.rule("/other", ["other"])]),
                   *m.service("tls", tls.port), *m.service("other", plain.port)])
    gateway.write(spoil(policy), "policy.yaml")
    gateway.start()
    assert request(gateway.port, "/tls").status == 503
    assert gateway.log(path="/tls")["response_flags"] == "UF,POL"
    assert request(gateway.port, "/other").status == (200 if is_known else 503)
    assert b"GET /" not in tls.data
    assert "answer 503" in gateway.errors()
    gateway.apply(policy, "policy.yaml")
    assert request(gateway.port, "/tls").status == 200
    assert request(gateway.port, "/other").status == 200
    gateway.apply(spoil(policy), "policy.yaml")  # a good version is known now
    assert request(gateway.port, "/tls").status == 200
    assert request(gateway.port, "/other").status == 200
