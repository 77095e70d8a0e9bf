# SPDX-License-Identifier: Apache-2.0
"""TLS with clients: virtual hosts, versions, client certificates, reload."""
import os
import shutil
import socket
import ssl
import subprocess
import time

import pytest

import manifests as m
from origin import mirror_handler
from process import Gateway
from wire import (Stream, client_context, connect, connect_tls, free_port, read_all, request,
                  wait_until)


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins, certs):
    origin = module_origins()
    gateway = module_gateways(settings={"tls_handshake_timeout": "2s"})
    gateway.mtls_port = free_port()
    gateway.strict_port = free_port()
    only = {"default": {}, "perPort": [
        {"port": gateway.mtls_port, "tls": {"validation": {
            "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ca"}],
            "mode": "AllowInsecureFallback"}}},
        {"port": gateway.strict_port, "tls": {"validation": {
            "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ca"}]}}}]}
    gateway.write([
        m.gateway([
            m.listener("a", gateway.port, "HTTPS", "a.test", ["a", "a-rsa"]),
            m.listener("b", gateway.port, "HTTPS", "b.test", ["b"]),
            m.listener("wild", gateway.port, "HTTPS", "*.wild.test", ["wild"]),
            m.listener("lenient", gateway.mtls_port, "HTTPS", certs=["a"]),
            m.listener("strict", gateway.strict_port, "HTTPS", certs=["a"]),
        ], tls={"frontend": only}),
        m.http_route("all", [m.rule("/", ["one"]), m.rule("/mirror", ["mirror"])]),
        *m.service("one", origin.port), m.config_map("ca", certs.ca),
        *m.service("mirror", module_origins(mirror_handler).port),
        m.secret("a", certs.a), m.secret("a-rsa", certs.a_rsa), m.secret("b", certs.b),
        m.secret("wild", certs.wild)])
    gateway.start()
    return gateway


def dns_names(sock):
    return [v for k, v in sock.getpeercert()["subjectAltName"] if k == "DNS"]


@pytest.mark.parametrize("name, expected", [
    ("a.test", "a.test"), ("b.test", "b.test"), ("x.wild.test", "*.wild.test")])
def test_certificate_by_sni(gw, certs, name, expected):
    with connect_tls(gw.port, name, certs.ca) as s:
        assert expected in dns_names(s)
        assert s.version() == "TLSv1.3"
        assert request(gw.port, "/", host=name, sock=s).status == 200


def test_curl_verifies_the_chain(gw, certs):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    out = subprocess.run(
        ["curl", "-sS", "--cacert", certs.ca.cert, "--resolve", f"b.test:{gw.port}:127.0.0.1",
         "-w", "%{http_code} %{http_version} %{ssl_verify_result}", "-o", "/dev/null",
         f"https://b.test:{gw.port}/"], capture_output=True, text=True, check=False)
    assert out.stdout == "200 2 0", out.stderr


def test_rsa_beside_ecdsa(gw, certs):
    context = client_context(certs.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    for kind in ("ECDSA", "RSA"):
        context.set_ciphers(f"ECDHE-{kind}-AES128-GCM-SHA256")
        with context.wrap_socket(connect(gw.port), server_hostname="a.test") as s:
            assert kind in s.cipher()[0] and s.version() == "TLSv1.2"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_refused(gw, certs, version):
    context = client_context(certs.ca)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = version
    with pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(connect(gw.port), server_hostname="a.test")


def test_unknown_name_refused(gw, certs):
    before = gw.metric("ringgate_tls_handshake_errors_total")
    for name in ("c.test", "wild.test", None):
        context = client_context(certs.ca)
        context.check_hostname = False
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(connect(gw.port), server_hostname=name)
    wait_until(lambda: gw.metric("ringgate_tls_handshake_errors_total") >= before + 3)
    gw.log(kind="connection", response_flags="DTLS")


def test_host_of_another_listener_is_misdirected(gw, certs):
    with connect_tls(gw.port, "a.test", certs.ca) as s:
        assert request(gw.port, "/", host="b.test", sock=s).status == 421


@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 200,
    b"\x80\x2e\x01\x00\x02" + b"\0" * 100, b"\0" * 600])
def test_garbage_ends_the_connection(gw, data):
    with connect(gw.port) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        assert b"HTTP/1.1 200" not in read_all(s)


def test_silent_client_is_cut(gw):
    with connect(gw.port) as s:
        s.sendall(b"\x16\x03\x01")
        read_all(s)  # ends after tls_handshake_timeout


def test_strict_client_certificates(gw, certs):
    with connect_tls(gw.strict_port, "a.test", certs.ca, certs.client) as s:
        seen = request(gw.strict_port, "/", sock=s)
        assert seen.status == 200
        assert b"URI=spiffe://test/ns/app/sa/client" in seen.body
        assert b"Hash=" in seen.body
    for pair in (None, certs.stranger):
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            with connect_tls(gw.strict_port, "a.test", certs.ca, pair) as s:
                request(gw.strict_port, "/", sock=s)


def test_lenient_client_certificates(gw, certs):
    for pair, name in ((certs.client, True), (None, False), (certs.stranger, False)):
        with connect_tls(gw.mtls_port, "a.test", certs.ca, pair) as s:
            response = request(gw.mtls_port, "/", sock=s, fields=[
                ("X-Forwarded-Client-Cert", "URI=spiffe://forged")])
            assert response.status == 200 and b"forged" not in response.body
            assert (b"Hash=" in response.body) == name


def session_of(port, certs, context, session=None):
    with context.wrap_socket(connect(port), server_hostname="a.test", session=session) as s:
        assert request(port, "/", sock=s).status == 200
        return s.session, s.session_reused


def test_sessions_resume_on_any_worker(gw, certs):
    before = [gw.metric(f"ringgate_tls_handshakes_{n}") for n in ("total", "resumed_total")]
    context = client_context(certs.ca)
    session, reused = session_of(gw.port, certs, context)
    assert not reused
    for _ in range(8):
        session, reused = session_of(gw.port, certs, context, session)
        assert reused
    after = [gw.metric(f"ringgate_tls_handshakes_{n}") for n in ("total", "resumed_total")]
    assert [a - b for a, b in zip(after, before)] == [9, 8]


def test_no_resumption_into_a_host_that_wants_a_certificate(gw, certs):
    """A session without a client certificate is worth nothing where one is demanded."""
    context = client_context(certs.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session, _ = session_of(gw.port, certs, context)
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        with context.wrap_socket(connect(gw.strict_port), server_hostname="a.test",
                                 session=session) as s:
            request(gw.strict_port, "/", sock=s)


def https_objects(port, origin_port, pair):
    return [m.gateway([m.listener("a", port, "HTTPS", certs=["a"])]),
            m.http_route("all", [m.rule("/", ["one"])]), *m.service("one", origin_port),
            m.secret("a", pair)]


def test_certificate_reload(gateways, origins, certs):
    gateway: Gateway = gateways()
    origin = origins()
    gateway.write(https_objects(gateway.port, origin.port, certs.a))
    gateway.start()
    with connect_tls(gateway.port, "a.test", certs.ca) as old:
        assert request(gateway.port, "/", sock=old).status == 200
        gateway.apply(https_objects(gateway.port, origin.port, certs.b))
        with connect_tls(gateway.port, "b.test", certs.ca) as new:
            assert "b.test" in dns_names(new)
        assert request(gateway.port, "/", sock=old).status == 200
        # A pair that does not match: the old one stays, and the log says so.
        broken = type("Pair", (), {"cert_text": certs.a.cert_text, "key_text": certs.b.key_text})
        gateway.write(https_objects(gateway.port, origin.port, broken))
        wait_until(lambda: "does not match" in gateway.errors(), "a message")
        with connect_tls(gateway.port, "b.test", certs.ca) as new:
            assert request(gateway.port, "/", host="b.test", sock=new).status == 200
        assert request(gateway.port, "/", sock=old).status == 200


def test_close_notify_ends_a_response(gw, certs):
    with connect_tls(gw.port, "a.test", certs.ca) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        stream = Stream(s)
        assert stream.response().status == 200
        assert s.recv(1) == b""  # an end without close_notify would raise


BIG = bytes(range(256)) * 8000


@pytest.mark.parametrize("version, cipher", [
    (ssl.TLSVersion.TLSv1_3, None),
    *[(ssl.TLSVersion.TLSv1_2, f"ECDHE-ECDSA-{name}")
      for name in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")]])
def test_large_bodies_both_ways(gw, certs, version, cipher):
    context = client_context(certs.ca)
    context.maximum_version = version
    if cipher:
        context.set_ciphers(cipher)
    with context.wrap_socket(connect(gw.port), server_hostname="a.test") as s:
        for size in (1, 16384, 16385, len(BIG), 0):
            response = request(gw.port, "/mirror", "POST", body=BIG[:size], sock=s)
            assert response.status == 200 and response.body == BIG[:size]


class SClient:
    """openssl s_client: lines to it, everything that it prints."""

    def __init__(self, port, ca, *options):
        self.text = b""
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "a.test",
             "-CAfile", str(ca.cert), *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.set_blocking(self.process.stdout.fileno(), False)

    def say(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def count(self, text):
        self.text += self.process.stdout.read() or b""
        return self.text.count(text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def test_key_updates_of_a_client(gw, certs):
    """s_client's k and K: our keys change when it asks for that, and data goes on."""
    with SClient(gw.port, certs.ca, "-tls1_3") as client:
        wait_until(lambda: client.count(b"Verify return code: 0 (ok)"), "the handshake")
        for i, command in enumerate((b"k", b"K", b"K", b"k"), 1):
            client.say(command + b"\n")
            wait_until(lambda: client.count(b"KEYUPDATE") >= i, "a key update")
            client.say(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            wait_until(lambda: client.count(b"HTTP/1.1 200") >= i, "an answer")


def test_renegotiation_is_refused(gw, certs):
    with SClient(gw.port, certs.ca, "-tls1_2") as client:
        wait_until(lambda: client.count(b"Verify return code: 0 (ok)"), "the handshake")
        client.say(b"R\n")
        wait_until(lambda: client.count(b"no renegotiation"), "the refusal")


def test_end_of_certificates_is_told(gw):
    """Those served and those shown to backends, by their Secret."""
    lines = [line for line in gw.get("/metrics")[1].splitlines()
             if line.startswith("ringgate_tls_certs_not_after")]
    assert any('namespace="test",name="a"' in line for line in lines), lines
    for line in lines:
        assert time.time() < float(line.rsplit(" ", 1)[1]) < time.time() + 3 * 86400
