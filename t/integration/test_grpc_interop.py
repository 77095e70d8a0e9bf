# SPDX-License-Identifier: Apache-2.0
"""The interoperability tests of grpc-go through the gateway, in clear and over TLS. They run where
Go is installed and has the modules of t/grpc (cd t/grpc && go mod download)."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import manifests as m
from wire import connect, free_port, wait_until

MODULE = Path(__file__).resolve().parent.parent / "grpc"
CASES = ["empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong",
         "empty_stream", "timeout_on_sleeping_server", "cancel_after_begin",
         "cancel_after_first_response", "status_code_and_message", "custom_metadata",
         "special_status_message", "unimplemented_method", "unimplemented_service"]
SOAK = ["--soak_iterations=100", "--soak_max_failures=0", "--soak_overall_timeout_seconds=100",
        "--soak_per_iteration_max_acceptable_latency_ms=20000"]


def program(name):
    """The path of a tool of the module, built without a network and kept in Go's cache."""
    environment = {**os.environ, "GOPROXY": "off", "GOFLAGS": "-mod=readonly",
                   "GOTOOLCHAIN": "local"}
    found = subprocess.run(["go", "tool", "-n", f"google.golang.org/grpc/interop/{name}"],
                           cwd=MODULE, env=environment, capture_output=True, text=True,
                           check=False)
    if found.returncode != 0:
        why = (found.stderr.strip().splitlines() or ["no reason"])[-1]
        pytest.skip(f"the modules of t/grpc cannot be built: {why}")
    return found.stdout.strip()


@pytest.fixture(scope="session")
def programs():
    """(client, server)."""
    if shutil.which("go") is None:
        pytest.skip("Go is not installed")
    return program("client"), program("server")


class Server:
    def __init__(self, server, *arguments):
        self.port = free_port()
        self.process = subprocess.Popen([server, f"--port={self.port}", *arguments],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.is_ready, "the interop server")

    def is_ready(self):
        try:
            connect(self.port).close()
            return True
        except ConnectionRefusedError:
            assert self.process.poll() is None, "the interop server ended"
            return False

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def gw(module_gateways, programs, certs):
    gateway = module_gateways(settings={"h2_requests_per_connection_max": "50"})
    gateway.tls_port = free_port()
    plain = Server(programs[1])
    secure = Server(programs[1], "--use_tls", f"--tls_cert_file={certs.echo.cert}",
                    f"--tls_key_file={certs.echo.key}")
    gateway.write([
        m.gateway([m.listener("plain", gateway.port),
                   m.listener("tls", gateway.tls_port, "HTTPS", certs=["a"])]),
        m.grpc_route("plain", [m.grpc_rule([m.call("grpc.testing.TestService")], ["plain"])],
                     section="plain"),
        m.grpc_route("tls", [m.grpc_rule([m.call("grpc.testing.TestService")], ["secure"])],
                     section="tls"),
        *m.service("plain", plain.port), *m.service("secure", secure.port),
        m.secret("a", certs.a), m.config_map("ca", certs.ca),
        m.backend_tls("secure", "secure", "echo.test", "ca")])
    gateway.certs = certs
    yield gateway.start()
    plain.stop()
    secure.stop()


def run(gateway, client, case, secure, *more):
    arguments = ["--server_host=127.0.0.1", f"--test_case={case}", *more]
    if secure:
        arguments += [f"--server_port={gateway.tls_port}", "--use_tls", "--use_test_ca",
                      f"--ca_file={gateway.certs.ca.cert}", "--server_host_override=a.test"]
    else:
        arguments += [f"--server_port={gateway.port}"]
    result = subprocess.run([client, *arguments], capture_output=True, text=True, timeout=120,
                            check=False)
    assert result.returncode == 0, result.stderr[-2000:]


@pytest.mark.parametrize("secure", [False, True], ids=["h2c", "tls"])
@pytest.mark.parametrize("case", CASES)
def test_case(gw, programs, case, secure):
    run(gw, programs[0], case, secure)


@pytest.mark.parametrize("secure", [False, True], ids=["h2c", "tls"])
@pytest.mark.parametrize("case", ["rpc_soak", "channel_soak"])
def test_soak(gw, programs, case, secure):
    """Connections are retired by GOAWAY every 50 calls, which callers must not notice."""
    run(gw, programs[0], case, secure, *SOAK)
