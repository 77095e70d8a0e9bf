# SPDX-License-Identifier: Apache-2.0
"""Gateway API objects as Python dictionaries; JSON is YAML, so that is how
they are written to files."""
import json

GATEWAY_API = "gateway.networking.k8s.io/v1"
EXPERIMENTAL_API = "gateway.networking.x-k8s.io/v1alpha1"
OWN_API = "ringgate.dev/v1alpha1"


def document(objects):
    return "".join("---\n" + json.dumps(o, indent=1) + "\n" for o in objects)


def thing(api, kind, name, spec=None, **more):
    result = {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "test"}}
    if spec is not None:
        result["spec"] = spec
    result.update(more)
    return result


def listener(name, port, protocol="HTTP", hostname=None, certs=(), **more):
    result = {"name": name, "port": port, "protocol": protocol, **more}
    if hostname:
        result["hostname"] = hostname
    if certs:
        result["tls"] = {"certificateRefs": [{"name": c} for c in certs]}
    return result


def gateway(listeners, name="gw", tls=None, annotations=None):
    spec = {"gatewayClassName": "ringgate", "listeners": listeners,
            "addresses": [{"type": "IPAddress", "value": "127.0.0.1"}]}
    if tls:
        spec["tls"] = tls
    result = thing(GATEWAY_API, "Gateway", name, spec)
    if annotations:
        result["metadata"]["annotations"] = annotations
    return result


def backend(name, weight=None, **more):
    result = {"name": name, "port": 80, **more}
    if weight is not None:
        result["weight"] = weight
    return result


def prefix(path):
    return {"path": {"type": "PathPrefix", "value": path}}


def rule(path="/", backends=(), **more):
    result = {"matches": [prefix(path)], **more}
    if backends:
        result["backendRefs"] = [backend(b) if isinstance(b, str) else b for b in backends]
    return result


def field(name, value):
    return {"name": name, "value": value}


def redirect(**what):
    return {"type": "RequestRedirect", "requestRedirect": what}


def rewrite(**what):
    return {"type": "URLRewrite", "urlRewrite": what}


def replace_prefix(path):
    return {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": path}}


def http_route(name, rules, hostnames=(), section=None, parent="gw"):
    ref = {"name": parent}
    if section:
        ref["sectionName"] = section
    spec = {"parentRefs": [ref], "rules": rules}
    if hostnames:
        spec["hostnames"] = list(hostnames)
    return thing(GATEWAY_API, "HTTPRoute", name, spec)


def tcp_route(name, backends, section="tcp"):
    refs = [backend(b) if isinstance(b, str) else b for b in backends]
    return thing(GATEWAY_API, "TCPRoute", name,
                 {"parentRefs": [{"name": "gw", "sectionName": section}],
                  "rules": [{"backendRefs": refs}]})


def service(name, *ports):
    """A Service and its endpoints on 127.0.0.1; one EndpointSlice a port number."""
    objects = [thing("v1", "Service", name, {"ports": [{"name": "p", "port": 80}]})]
    for i, port in enumerate(ports):
        piece = thing("discovery.k8s.io/v1", "EndpointSlice", f"{name}-{i}", addressType="IPv4",
                      ports=[{"name": "p", "port": port, "protocol": "TCP"}],
                      endpoints=[{"addresses": ["127.0.0.1"]}])
        piece["metadata"]["labels"] = {"kubernetes.io/service-name": name}
        objects.append(piece)
    return objects


def h2_service(name, *ports):
    """A Service that speaks HTTP/2 without TLS."""
    objects = service(name, *ports)
    objects[0]["spec"]["ports"][0]["appProtocol"] = "kubernetes.io/h2c"
    return objects


def secret(name, pair):
    return thing("v1", "Secret", name, type="kubernetes.io/tls",
                 stringData={"tls.crt": pair.cert_text, "tls.key": pair.key_text})


def config_map(name, ca):
    return thing("v1", "ConfigMap", name, data={"ca.crt": ca.cert_text})


def backend_tls(name, service_name, hostname, ca, uris=()):
    validation = {"hostname": hostname,
                  "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": ca}]}
    if uris:
        validation["subjectAltNames"] = [{"type": "URI", "uri": u} for u in uris]
    return thing(GATEWAY_API, "BackendTLSPolicy", name,
                 {"targetRefs": [{"group": "", "kind": "Service", "name": service_name}],
                  "validation": validation})


def traffic_policy(name, service_name, percent, count, kind="Service"):
    """How many retries a Service gets."""
    spec = {"targetRefs": [{"group": "", "kind": kind, "name": service_name}],
            "retryConstraint": {"budget": {"percent": percent, "interval": "10s"},
                                "minRetryRate": {"count": count, "interval": "1s"}}}
    return thing(EXPERIMENTAL_API, "XBackendTrafficPolicy", name, spec)


def limit(name, route, requests, period="1m", store=None, kind="HTTPRoute", **more):
    one = {"name": "limit", "rate": {"requests": requests, "period": period},
           "key": [{"clientIP": {}}], "scope": "Global" if store else "Instance", **more}
    spec = {"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": kind, "name": route}],
            "rules": [one]}
    if store:
        spec["storeRef"] = {"name": store}
    return thing(OWN_API, "RateLimitPolicy", name, spec)


def store(name, endpoint, **more):
    return thing(OWN_API, "RateLimitStore", name,
                 {"redis": {"mode": "Single", "endpoints": [endpoint], **more}})


def call(service=None, method=None, **more):
    """A match of a GRPCRoute."""
    names = {k: v for k, v in (("service", service), ("method", method)) if v}
    return {"method": {**names, **more}}


def grpc_rule(matches=(), backends=(), **more):
    result = {**more}
    if matches:
        result["matches"] = list(matches)
    if backends:
        result["backendRefs"] = [backend(b) if isinstance(b, str) else b for b in backends]
    return result


def grpc_route(name, rules, hostnames=(), **more):
    route = http_route(name, rules, hostnames, **more)
    route["kind"] = "GRPCRoute"
    return route
