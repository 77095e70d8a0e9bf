# SPDX-License-Identifier: Apache-2.0
"""A gateway with an HTTP and an HTTPS listener, and clients of either version."""
import http2
import manifests as m
from wire import client_context, free_port


def serve(gateways, certs, objects, settings=()):
    gateway = gateways(settings)
    gateway.tls_port = free_port()
    gateway.certs = certs
    gateway.write([m.gateway([m.listener("http", gateway.port),
                              m.listener("https", gateway.tls_port, "HTTPS", certs=["a"])]),
                   m.http_route("r", [m.rule("/", ["b"])]), *objects, m.secret("a", certs.a)])
    return gateway.start()


def h2_dial(gateway, client="h2"):
    if client == "h2":
        return http2.dial(gateway.port)
    return http2.dial_tls(gateway.tls_port, client_context(gateway.certs.ca))
