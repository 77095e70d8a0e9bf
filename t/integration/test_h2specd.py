# SPDX-License-Identifier: Apache-2.0
"""The conformance suite h2specd, strict, behind a gateway that speaks HTTP/2 to it.

It is no package of Debian: H2SPECD= or PATH has to name it, else this is skipped."""
import os
import re
import shutil
import socket
import subprocess

import pytest

import manifests as m

H2SPECD = os.environ.get("H2SPECD") or shutil.which("h2specd")
pytestmark = pytest.mark.skipif(H2SPECD is None,
                                reason="h2specd is not installed (H2SPECD=, PATH)")
CASES = 80  # ports, one a case; it has fewer cases


def free_ports(count):
    """The first of so many in a row."""
    for first in range(20000, 32000, count):
        sockets = []
        try:
            for port in range(first, first + count):
                sockets.append(socket.create_server(("127.0.0.1", port)))
            return first
        except OSError:
            continue
        finally:
            for s in sockets:
                s.close()
    raise AssertionError("no ports")


@pytest.mark.parametrize("tls", [False, True], ids=["h2c", "tls"])
def test_strict(gateways, certs, tmp_path, tls):
    first = free_ports(CASES)
    ports = range(first, first + CASES)
    gateway = gateways({"route_timeout": "1s"})
    objects = [m.gateway([m.listener("http", gateway.port)])]
    for at in range(0, CASES, 16):
        objects.append(m.http_route(f"r{at}", [m.rule(f"/{p}", [f"p{p}"])
                                               for p in ports[at:at + 16]]))
    for port in ports:
        objects += m.h2_service(f"p{port}", port)
        if tls:
            objects.append(m.backend_tls(f"p{port}", f"p{port}", "echo.test", "ca"))
    gateway.write([*objects, m.config_map("ca", certs.ca)])
    gateway.start()
    script = tmp_path / "ask"
    script.write_text("#!/bin/sh\nport=${1##*:}\n"
                      f"exec curl -s -m 2 -o /dev/null http://127.0.0.1:{gateway.port}/${{port%/}}"
                      " -H 'Host: a.test'\n")
    script.chmod(0o755)
    secure = ["-t", "-c", certs.echo.cert, "-k", certs.echo.key] if tls else []
    result = subprocess.run([H2SPECD, "--strict", "-o", "1", "-f", str(first), "-e", str(script),
                             *secure],
                            capture_output=True, text=True, check=False, timeout=300)
    totals = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", result.stdout)
    assert totals, result.stdout + result.stderr
    tests, passed, _, _ = map(int, totals.groups())
    failures = result.stdout[result.stdout.find("Failures:"):]
    assert passed == tests and tests >= 57, failures[:4000]
