# SPDX-License-Identifier: Apache-2.0
"""Certificates and authorities that are replaced by broken ones, or are past their last day."""
import socket
import ssl
import subprocess

import pytest

import manifests as m
from origin import server_context
from process import RINGGATE
from wire import connect_tls, free_port, request

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


class Text:
    """In place of a pair or an authority."""

    def __init__(self, cert, key=""):
        self.cert_text, self.key_text = cert, key


class Site:
    """A listener that wants client certificates, before a backend that does."""

    def __init__(self, gateway, origins, certs):
        self.gateway, self.certs = gateway, certs
        self.parts = {"front-ca": certs.ca, "back-ca": certs.ca, "front": certs.a,
                      "identity": certs.gateway}
        self.origin = origins(None, server_context(certs.echo, certs.ca))
        self.plain_port = free_port()

    def objects(self, **replaced):
        parts = {**self.parts, **{k.replace("_", "-"): v for k, v in replaced.items()}}
        frontend = {"default": {"validation": {"caCertificateRefs": [
            {"group": "", "kind": "ConfigMap", "name": "front-ca"}]}}}
        return [
            m.gateway([m.listener("tls", self.gateway.port, "HTTPS", certs=["front"]),
                       m.listener("plain", self.plain_port)],
                      tls={"frontend": frontend,
                           "backend": {"clientCertificateRef": {"name": "identity"}}}),
            m.http_route("all", [m.rule("/", ["one"])]), *m.service("one", self.origin.port),
            m.backend_tls("one", "one", "echo.test", "back-ca"),
            m.config_map("front-ca", parts["front-ca"]), m.config_map("back-ca", parts["back-ca"]),
            m.secret("front", parts["front"]), m.secret("identity", parts["identity"])]

    def through_tls(self):
        with connect_tls(self.gateway.port, "a.test", self.certs.ca, self.certs.client) as s:
            return request(self.gateway.port, "/", sock=s).status

    def through_plain(self):
        return request(self.plain_port, "/").status

    def status(self, path):
        return (self.gateway.status / path).read_text()


@pytest.fixture
def site(gateways, origins, certs):
    return Site(gateways(), origins, certs)


@pytest.mark.parametrize("part, field, owner", [
    ("front_ca", "data[ca.crt]", "Gateway/test/gw.yaml"),
    ("back_ca", "data[ca.crt]", "BackendTLSPolicy/test/one.yaml"),
    ("front", "data[tls.crt]", "Gateway/test/gw.yaml"),
    ("identity", "data[tls.crt]", "Gateway/test/gw.yaml")])
def test_broken_replacement_keeps_the_old(site, certs, part, field, owner):
    gateway = site.gateway
    gateway.write(site.objects())
    gateway.start()
    assert site.through_tls() == 200
    name = part.replace("_", "-")
    note = f'\\"{name}\\" in namespace \\"test\\" cannot be used as it is now: its last good'
    for broken in (Text("garbage\n", certs.a.key_text), Text(PEM, certs.a.key_text)):
        gateway.apply(site.objects(**{part: broken}))
        assert site.through_tls() == 200 and site.through_plain() == 200
        told = next(l for l in gateway.errors().splitlines() if f"test/{name}: {field}" in l)
        assert "main.yaml:" in told
        assert note in site.status("gateway.networking.k8s.io_" + owner)
        gateway.apply(site.objects())
        assert note not in site.status("gateway.networking.k8s.io_" + owner)
    assert "stays in use; all else is unaffected" in gateway.errors()


def test_authority_that_is_taken_away_is_gone(site):
    gateway = site.gateway
    gateway.write(site.objects())
    gateway.start()
    gateway.apply([o for o in site.objects() if o["metadata"]["name"] != "back-ca"])
    assert site.through_plain() == 503


def test_broken_authority_at_the_start(site):
    gateway = site.gateway
    gateway.write(site.objects(front_ca=Text("garbage"), back_ca=Text("garbage")))
    gateway.start()
    assert site.through_plain() == 503
    assert gateway.log(response_code=503)["response_flags"] == "UF,POL"
    with pytest.raises((OSError, ssl.SSLError)):
        site.through_tls()
    gateway.apply(site.objects())
    assert site.through_plain() == 200 and site.through_tls() == 200


def line_of(gateway, code):
    """The finding of a code, which is one."""
    lines = [l for l in gateway.errors().splitlines() if f"error[{code}]" in l]
    assert len(lines) == 1, gateway.errors()
    return lines[0]


def test_findings_are_those_of_check(site, certs):
    """A pair that does not match: the same code and place, whoever looks."""
    gateway = site.gateway
    gateway.write(site.objects(front=Text(certs.a.cert_text, certs.b.key_text),
                               identity=Text(certs.a.cert_text, certs.b.key_text)))
    gateway.start()
    found = [l for l in gateway.errors().splitlines() if "error[RG133]" in l]
    owners = sorted(l.split("] ")[1].split(":")[0] for l in found)
    assert owners == ["Secret test/front", "Secret test/identity"]
    assert all("main.yaml:" in l for l in found)
    assert "InvalidCertificateRef" in site.status("gateway.networking.k8s.io_Gateway/test/gw.yaml")
    assert site.through_plain() == 503


def test_address_in_use_is_told_where_it_stands(site):
    gateway = site.gateway
    with socket.create_server(("127.0.0.1", site.plain_port)):
        gateway.write(site.objects())
        gateway.start()
        line = line_of(gateway, "RG135")
        assert "main.yaml:" in line and "Gateway test/gw" in line and "listeners[1].port" in line
        assert "Programmed=False, Invalid" in gateway.errors()
        assert "reason: Invalid" in site.status("gateway.networking.k8s.io_Gateway/test/gw.yaml")


@pytest.fixture(scope="module")
def expired(certs):
    """Of each kind one that is past its last day."""
    return {"ca": certs.ca.expired("ca-expired"),
            "server": certs.ca.issue("echo-expired", "DNS:echo.test", days=-1),
            "client": certs.ca.issue("client-expired", "URI:spiffe://test/late", days=-1)}


def check(gateway):
    result = subprocess.run([RINGGATE, "check", str(gateway.config)], capture_output=True,
                            text=True, check=False)
    return result.returncode, result.stdout


def test_expired_authority_of_backends(site, expired):
    gateway = site.gateway
    gateway.write(site.objects(back_ca=expired["ca"]))
    gateway.start()
    assert site.through_plain() == 503
    record = gateway.log(response_code=503)
    assert record["response_flags"] == "UF,TLS" and "expired" in record["response_code_details"]
    code, text = check(gateway)
    assert code == 0 and "warning[RG136] ConfigMap test/back-ca: data[ca.crt]" in text
    gateway.apply(site.objects())
    assert site.through_plain() == 200


def test_expired_authority_of_clients(site, expired):
    gateway = site.gateway
    gateway.write(site.objects(front_ca=expired["ca"]))
    gateway.start()
    with pytest.raises((OSError, ssl.SSLError)):
        site.through_tls()
    gateway.log(kind="connection", response_flags="DTLS")
    code, text = check(gateway)
    assert code == 0 and "warning[RG136] ConfigMap test/front-ca: data[ca.crt]" in text


def test_expired_client_certificate(site, certs, expired):
    gateway = site.gateway
    gateway.write(site.objects())
    gateway.start()
    with pytest.raises(ssl.SSLError, match="expired"):
        with connect_tls(gateway.port, "a.test", certs.ca, expired["client"]) as s:
            request(gateway.port, "/", sock=s)
    gateway.log(kind="connection", response_flags="DTLS")
    assert site.through_tls() == 200


def test_expired_certificates_between_us_and_a_backend(site, origins, certs, expired):
    """Ours is refused by the backend, its own by us."""
    gateway = site.gateway
    gateway.write(site.objects(identity=expired["client"]))
    gateway.start()
    assert site.through_plain() == 503
    record = gateway.log(response_code=503)
    assert record["response_flags"] == "UF,TLS"
    assert "peer alert: certificate expired" in record["response_code_details"]
    site.origin = origins(None, server_context(expired["server"]))
    gateway.apply(site.objects())
    assert request(site.plain_port, "/late").status == 503
    record = gateway.log(path="/late")
    assert record["response_flags"] == "UF,TLS"
    assert "certificate has expired" in record["response_code_details"]
