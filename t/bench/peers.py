# SPDX-License-Identifier: Apache-2.0
"""The peers and how each is told to do a scenario: one worker, logs off, connections to
backends kept, sessions cached."""
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import host

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "integration"))
import manifests as m  # noqa: E402

ROUTES = range(5)


class Unable(Exception):
    """The peer is not here, or does not do this."""


class Peer:
    """One running peer. name: a program, and behind a colon how it is set up."""

    def __init__(self, name, scenario, site, port):
        self.name, self.scenario, self.site, self.port = name, scenario, site, port
        self.program, _, self.variant = name.partition(":")
        self.dir = site.dir / name.replace(":", "-")
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(parents=True)
        self.process = self.redis = None
        self.written = 0.0  # when its configuration was, last
        command = getattr(self, self.program)(scenario.hosts)
        with open(self.dir / "output", "w") as output:
            core = site.cores[0] if self.workers == 1 else host.all_but(site.cores[1])
            self.process = subprocess.Popen(host.pinned(core, command), stdout=output,
                                            stderr=output, start_new_session=True)
        if not host.wait_port(port, self.process):
            self.stop()
            last = host.read(self.dir / "output").strip().splitlines()[-1:]
            raise Unable(f"{name} does not start: {' '.join(last)[:200]}")

    def pids(self):
        return host.family(self.process.pid)

    def stop(self):
        for process in filter(None, (self.process, self.redis)):
            pids = host.family(process.pid)
            for signo in (signal.SIGTERM, signal.SIGKILL):
                for pid in pids:
                    try:
                        os.kill(pid, signo)
                    except OSError:
                        pass
                try:
                    process.wait(1)
                except subprocess.TimeoutExpired:
                    pass

    def change(self, hosts):
        """The same with that many hosts, in force as soon as the peer gets there: since when it
        could, by time.monotonic()."""
        getattr(self, self.program)(hosts)
        signals = {"nginx": signal.SIGHUP, "haproxy": signal.SIGUSR2}
        if self.program not in signals:
            return self.written  # it watches the file; since then we cleaned up
        begin = time.monotonic()
        self.process.send_signal(signals[self.program])
        return begin

    # --- helpers of the configurations ---------------------------------------------

    def binary(self, name, fallback=None):
        found = shutil.which(name) or (fallback if fallback and os.path.exists(fallback) else None)
        if not found:
            raise Unable(f"{name} is not installed")
        return found

    def only_if(self, ok):
        if not ok:
            raise Unable(f"{self.program} does not do {self.scenario.name}")

    def write(self, name, text):
        path = self.dir / name
        part = self.dir / (name + ".part")
        part.write_text(text)
        self.written = time.monotonic()
        part.rename(path)
        return path

    @property
    def workers(self):
        return int(self.variant) if self.variant.isdigit() else 1

    @property
    def upstream(self):
        return self.site.ports[self.scenario.upstream]

    @property
    def mtls(self):
        return self.scenario.upstream == "mtls"

    @property
    def pair(self):
        return self.site.pairs[self.scenario.tls]

    # --- one configuration each -------------------------------------------------------

    def nginx(self, hosts):
        s, d, client = self.scenario, self.dir, self.site.pairs["client"]
        text = (f"daemon off; worker_processes {self.workers}; pid {d}/pid;\n"
                f"error_log {d}/error warn;\n"
                "events { worker_connections 19000; multi_accept on; }\n")
        listen = f"listen 127.0.0.1:{self.port}"
        if s.tcp:
            module = "/usr/lib/nginx/modules/ngx_stream_module.so"
            self.only_if(os.path.exists(module))
            text = (f"load_module {module};\n{text}stream {{ server {{ {listen} reuseport; "
                    f"proxy_pass 127.0.0.1:{self.upstream}; tcp_nodelay on; "
                    "proxy_buffer_size 64k; } }\n")
            return [self.binary("nginx"), "-p", d, "-c", self.write("conf", text)]
        if s.tls:
            listen += " ssl http2"
        tls = f"ssl_certificate {self.pair.cert}; ssl_certificate_key {self.pair.key};" \
            if s.tls else ""
        scheme = "https" if self.mtls else "http"
        outer = "" if not self.mtls else (
            f"proxy_ssl_certificate {client.cert}; proxy_ssl_certificate_key {client.key}; "
            f"proxy_ssl_trusted_certificate {self.site.authority.cert}; proxy_ssl_verify on; "
            "proxy_ssl_name up.bench.test; proxy_ssl_protocols TLSv1.3; "
            "proxy_ssl_session_reuse on;")

        def location(path):
            return f"location {path} {{ proxy_pass {scheme}://up; }}"

        upgrade = "proxy_set_header Upgrade $http_upgrade;" if s.mode == "websocket" else ""
        text += f"""http {{
access_log off; tcp_nodelay on; server_tokens off; sendfile on;
keepalive_timeout 600s; keepalive_requests 1000000000; reset_timedout_connection on;
server_names_hash_max_size 65536; server_names_hash_bucket_size 128;
http2_max_concurrent_streams 256; client_body_buffer_size 16k;
ssl_protocols TLSv1.3; ssl_session_cache shared:s:20m; ssl_session_tickets on;
ssl_buffer_size 16k;
map $http_upgrade $connection_kind {{ default ""; websocket upgrade; }}
upstream up {{ server 127.0.0.1:{self.upstream}; keepalive 512;
  keepalive_requests 1000000000; keepalive_timeout 600s; }}
proxy_http_version 1.1; proxy_set_header Connection $connection_kind;
proxy_set_header Host $host; {upgrade}
proxy_buffer_size 8k; proxy_buffers 32 16k; proxy_busy_buffers_size 128k;
proxy_max_temp_file_size 0; {outer}
"""
        if hosts:
            text += f"server {{ {listen} default_server; {tls} return 404; }}\n"
            for i in range(hosts):
                places = " ".join(location(f"/p{p}/") for p in ROUTES)
                text += f"server {{ {listen}; server_name h{i}.bench.test; {tls} {places} }}\n"
        else:
            text += f"server {{ {listen} reuseport; {tls} {location('/')} }}\n"
        return [self.binary("nginx"), "-p", d, "-c", self.write("conf", text + "}\n")]

    def haproxy(self, hosts):
        s, d = self.scenario, self.dir
        bind = f"bind 127.0.0.1:{self.port} backlog 16384"
        if s.tls:
            bind += f" ssl crt {self.site.bundle(self.pair)} alpn h2,http/1.1"
        server = f"server s 127.0.0.1:{self.upstream}"
        if self.mtls:
            server += (f" ssl verify required ca-file {self.site.authority.cert} crt "
                       f"{self.site.bundle(self.site.pairs['client'])} sni str(up.bench.test) "
                       "verifyhost up.bench.test")
        kind = "http-reuse always"
        if s.tcp:
            kind = "option splice-response" if s.mode == "bulk" else "option splice-auto"
        lines = [f"use_backend %[base,map_beg({d}/map)]" if hosts else "default_backend b"]
        if hosts:
            self.write("map", "".join(f"h{i}.bench.test/p{p}/ b\n" for i in range(hosts)
                                      for p in ROUTES))
        conf = self.write("conf", f"""global
  nbthread 1
  maxconn {2000 if s.tcp else 9800}
  tune.ssl.cachesize 100000
  tune.pipesize 524288
  tune.h2.max-concurrent-streams 256
  ssl-default-bind-options ssl-min-ver TLSv1.3
  stats socket {d}/sock mode 600 level admin expose-fd listeners
defaults
  mode {"tcp" if s.tcp else "http"}
  timeout client 600s
  timeout server 600s
  timeout connect 5s
  timeout tunnel 600s
  {kind}
frontend f
  {bind}
  {lines[0]}
backend b
  {server}
""")
        return [self.binary("haproxy", "/usr/sbin/haproxy"), "-W", "-f", conf]

    def h2o(self, hosts):
        s, d = self.scenario, self.dir
        self.only_if(not s.tcp and not self.mtls)
        tls = f"""  ssl:
    certificate-file: {self.pair.cert}
    key-file: {self.pair.key}
    minimum-version: TLSv1.2
    ocsp-update-interval: 0
    neverbleed: OFF
""" if s.tls else ""
        proxy = f'proxy.reverse.url: "http://127.0.0.1:{self.upstream}'
        text = f"""num-threads: 1
num-name-resolution-threads: 1
max-connections: 19000
pid-file: {d}/pid
error-log: {d}/error
http1-request-timeout: 600
http2-idle-timeout: 600
http2-max-concurrent-requests-per-connection: 256
ssl-session-resumption: {{mode: ticket}}
proxy.preserve-host: ON
proxy.timeout.keepalive: 600000
proxy.timeout.io: 600000
proxy.websocket: ON
proxy.websocket.timeout: 600000
listen:
  host: 127.0.0.1
  port: {self.port}
{tls}hosts:
"""
        if os.geteuid() == 0:
            text = "user: root\n" + text
        if not hosts:
            text += f'  default:\n    paths:\n      "/": {{{proxy}/"}}\n'
        for i in range(hosts):
            text += f'  "h{i}.bench.test":\n    paths:\n'
            text += "".join(f'      "/p{p}": {{{proxy}/p{p}"}}\n' for p in ROUTES)
        return [self.binary("h2o"), "-m", "worker", "-c", self.write("conf", text)]

    def nghttpx(self, hosts):
        s, client = self.scenario, self.site.pairs["client"]
        self.only_if(not s.tcp and not hosts)
        outer = ";;tls;sni=up.bench.test" if self.mtls else ""
        lines = ["workers=1", "single-process=yes", "single-thread=yes",
                 f"frontend=127.0.0.1,{self.port}{'' if s.tls else ';no-tls'}",
                 f"backend=127.0.0.1,{self.upstream}{outer}", "accesslog-file=/dev/null",
                 f"errorlog-file={self.dir}/error", "worker-frontend-connections=19000",
                 "backend-connections-per-host=512", "frontend-keep-alive-timeout=600",
                 "frontend-read-timeout=600", "frontend-http2-read-timeout=600",
                 "backend-keep-alive-timeout=600", "backend-read-timeout=600",
                 "frontend-http2-max-concurrent-streams=256", "tls-min-proto-version=TLSv1.3",
                 "no-ocsp=yes", "no-server-push=yes", "no-via=yes"]
        if s.tls:
            lines += [f"private-key-file={self.pair.key}", f"certificate-file={self.pair.cert}"]
        if self.mtls:
            lines += [f"client-private-key-file={client.key}", f"client-cert-file={client.cert}",
                      f"cacert={self.site.authority.cert}"]
        conf = self.write("conf", "\n".join(lines) + "\n")
        return [self.binary("nghttpx", "/usr/sbin/nghttpx"), f"--conf={conf}"]

    def hitch(self, hosts):
        s = self.scenario
        self.only_if(s.tls and not s.tcp and not self.mtls and not hosts)
        user = 'user = "nobody"\n' if os.geteuid() == 0 else ""
        conf = self.write("conf", f"""frontend = "[127.0.0.1]:{self.port}"
backend = "[127.0.0.1]:{self.upstream}"
pem-file = "{self.site.bundle(self.pair)}"
workers = 1
backlog = 16384
daemon = off
quiet = on
log-level = 0
tls-protos = TLSv1.3
ocsp-dir = ""
alpn-protos = "http/1.1"
{user}""")
        return [self.binary("hitch", "/usr/sbin/hitch"), f"--config={conf}"]

    def envoy(self, hosts):
        s = self.scenario
        program = self.binary("envoy")
        self.only_if(not hosts and s.mode != "websocket")
        ext = "type.googleapis.com/envoy.extensions"
        files = self.site.pairs

        def certificate(pair):
            return [{"certificate_chain": {"filename": str(pair.cert)},
                     "private_key": {"filename": str(pair.key)}}]

        def socket(port):
            return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

        if s.tcp:
            name = "envoy.filters.network.tcp_proxy"
            config = {"@type": f"{ext}.filters.network.tcp_proxy.v3.TcpProxy",
                      "stat_prefix": "b", "cluster": "up"}
        else:
            name = "envoy.filters.network.http_connection_manager"
            router = {"name": "envoy.filters.http.router",
                      "typed_config": {"@type": f"{ext}.filters.http.router.v3.Router"}}
            route = {"match": {"prefix": "/"}, "route": {"cluster": "up", "timeout": "0s"}}
            config = {"@type": f"{ext}.filters.network.http_connection_manager.v3."
                               "HttpConnectionManager",
                      "stat_prefix": "b", "generate_request_id": False, "http_filters": [router],
                      "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"],
                                                          "routes": [route]}]}}
        chain = {"filters": [{"name": name, "typed_config": config}]}
        if s.tls:
            chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": {
                "@type": f"{ext}.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {"tls_certificates": certificate(self.pair),
                                       "alpn_protocols": ["h2", "http/1.1"]}}}
        cluster = {"name": "up", "type": "STATIC", "load_assignment": {
            "cluster_name": "up", "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": socket(self.upstream)}}]}]}}
        if self.mtls:
            cluster["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": {
                "@type": f"{ext}.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": "up.bench.test", "common_tls_context": {
                    "tls_certificates": certificate(files["client"]), "validation_context": {
                        "trusted_ca": {"filename": str(self.site.authority.cert)}}}}}
        conf = self.write("conf.yaml", m.document([{"static_resources": {
            "listeners": [{"name": "l", "address": socket(self.port), "filter_chains": [chain]}],
            "clusters": [cluster]}}]))
        return [program, "--concurrency", "1", "--log-level", "error", "-c", conf]

    def ringgate(self, hosts):
        s, site = self.scenario, self.site
        protocol = "TCP" if s.tcp else "HTTPS" if s.tls else "HTTP"
        listeners = [m.listener("tcp", self.port, protocol, certs=["front"] if s.tls else ())]
        outer = {"backend": {"clientCertificateRef": {"name": "client"}}} if self.mtls else None
        objects = [m.gateway(listeners, tls=outer), *m.service("up", self.upstream)]
        if s.tls:
            objects.append(m.secret("front", self.pair))
        if self.mtls:
            objects += [m.secret("client", site.pairs["client"]),
                        m.config_map("ca", site.authority),
                        m.backend_tls("up", "up", "up.bench.test", "ca")]
        if s.tcp:
            objects.append(m.tcp_route("r", ["up"]))
        elif hosts:
            objects += [m.http_route(f"h{i}", [m.rule(f"/p{p}", ["up"]) for p in ROUTES],
                                     hostnames=[f"h{i}.bench.test"]) for i in range(hosts)]
        else:
            objects.append(m.http_route("r", [m.rule("/", ["up"])]))
        if self.variant in ("embedded", "redis"):
            objects += self.ringgate_limit()
        self.write("objects.yaml", m.document(objects))
        return [site.ringgate, "run", "--config", self.dir / "objects.yaml",
                "--workers", self.workers,
                "--io", "epoll" if self.variant == "epoll" else "auto", "--admin",
                f"unix:{self.dir}/admin", "--access-log", "off",
                "--set", "requests_per_connection_max=1000000000",
                "--set", "h2_requests_per_connection_max=1000000000"]

    def ringgate_limit(self):
        """A limit that nobody reaches, in memory or in a Redis on the load's core."""
        if self.variant == "embedded":
            return [m.limit("l", "r", 100000000, "1s")]
        if not self.redis:
            command = [self.binary("redis-server"), "--port", "0", "--unixsocket",
                       self.dir / "redis", "--save", "", "--appendonly", "no"]
            self.redis = subprocess.Popen(host.pinned(self.site.cores[1], command),
                                          stdout=subprocess.DEVNULL)
        return [m.limit("l", "r", 100000000, "1s", store="s"),
                m.store("s", f"unix:{self.dir}/redis")]


def version(program, path):
    """The first line that says one."""
    argument = {"nginx": "-v", "haproxy": "-v", "hitch": "--version"}.get(program, "--version")
    run = subprocess.run([path, argument], capture_output=True, text=True)
    found = re.search(r"\d+\.\d+(\.\d+)?[-+~\w.]*", run.stdout + run.stderr)
    return found.group(0) if found else "?"
