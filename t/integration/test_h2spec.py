# SPDX-License-Identifier: Apache-2.0
"""The conformance suite h2spec, strict, against a gateway in front of a real backend.

It is no package of Debian: H2SPEC= or PATH has to name it, else this is skipped."""
import os
import re
import shutil
import subprocess

import pytest

import manifests as m
from origin import http_answer, read_request
from wire import Stream, free_port

H2SPEC = os.environ.get("H2SPEC") or shutil.which("h2spec")
pytestmark = pytest.mark.skipif(H2SPEC is None, reason="h2spec is not installed (H2SPEC=, PATH)")


def page_handler(sock, _origin):
    """Large enough for the cases that open windows bit by bit."""
    stream = Stream(sock)
    while True:
        method = read_request(stream)[0]
        http_answer(sock, b"0123456789abcdef" * 256, head=method == "HEAD")


@pytest.fixture(scope="module")
def gw(module_gateways, module_origins, certs):
    gateway = module_gateways()
    gateway.tls_port = free_port()
    gateway.write([
        m.gateway([m.listener("plain", gateway.port),
                   m.listener("tls", gateway.tls_port, "HTTPS", certs=["a"])]),
        m.http_route("all", [m.rule("/", ["one"])]),
        *m.service("one", module_origins(page_handler).port), m.secret("a", certs.a)])
    gateway.start()
    return gateway


@pytest.mark.parametrize("tls", [False, True], ids=["h2c", "tls"])
def test_strict(gw, tls):
    command = [H2SPEC, "--strict", "-h", "127.0.0.1", "-o", "5"]
    command += ["-t", "-k", "-p", str(gw.tls_port)] if tls else ["-p", str(gw.port)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    totals = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", result.stdout)
    assert totals, result.stdout + result.stderr
    tests, passed, _, _ = map(int, totals.groups())
    failures = result.stdout[result.stdout.find("Failures:"):]
    assert passed == tests and tests >= 146, failures
