# SPDX-License-Identifier: Apache-2.0
"""The gateway as a process under test."""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

from manifests import document
from wire import TIMEOUT_S, free_port, wait_until

BUILD = Path(os.environ.get("abs_top_builddir", "."))
RINGGATE = os.environ.get("RINGGATE", str(BUILD / "ringgate"))
# What must never stand in standard error, whatever was done to the process.
BROKEN = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:|ThreadSanitizer|"
                    r"assertion failed|backtrace")


def sanitizer_options(engine):
    """ThreadSanitizer does not see what io_uring does with descriptors; see the file."""
    if engine == "epoll":
        return {}
    supp = Path(__file__).resolve().parent / "uring.supp"
    options = f"suppressions={supp} history_size=7"  # a stack that is lost matches nothing
    return {"TSAN_OPTIONS": os.environ.get("TSAN_OPTIONS", "") + " " + options}


class AdminConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("admin", timeout=TIMEOUT_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Gateway:
    """start() serves what write() wrote; stop() checks that the end was clean."""

    def __init__(self, folder, engine, settings=()):
        self.folder = Path(folder)
        self.config = self.folder / "conf.d"
        self.config.mkdir(parents=True)
        self.engine = engine
        self.settings = {"drain_timeout": "2s", **dict(settings)}
        self.log_path = self.folder / "access.log"
        self.error_path = self.folder / "stderr"
        self.status = self.folder / "status"
        self.admin = self.folder / "admin.sock"
        self.process = None
        self.workers = 2
        self.arguments = []
        self.environment = {}
        self.preexec = None
        self.port = free_port()

    def write(self, objects, name="main.yaml"):
        """Atomically, as a deployment does."""
        text = objects if isinstance(objects, (str, bytes)) else document(objects)
        temporary = self.folder / f".{name}.new"
        temporary.write_bytes(text if isinstance(text, bytes) else text.encode())
        temporary.rename(self.config / name)

    def command(self):
        command = [RINGGATE, "run", "--config", str(self.config), "--io", self.engine,
                   "--workers", str(self.workers), "--admin", f"unix:{self.admin}",
                   "--access-log", str(self.log_path), "--access-log-format", "json",
                   "--status-dir", str(self.status)]
        for name, value in self.settings.items():
            command += ["--set", f"{name}={value}"]
        return command + self.arguments

    def start(self, ready=True):
        self.process = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(self.error_path, "ab"), preexec_fn=self.preexec,
            env={**os.environ, **sanitizer_options(self.engine), **self.environment})
        if ready:
            try:
                wait_until(lambda: self.process.poll() is not None or self.is_ready(),
                           "readiness of the gateway")
            except AssertionError as error:
                raise AssertionError(f"{error}\n{self.errors()}") from None
            assert self.process.poll() is None, self.errors()
        return self

    def get(self, path):
        """(status, text) of an admin page."""
        connection = AdminConnection(self.admin)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def health(self, what):
        """The status of /healthz/ready or live; None while nothing answers."""
        try:
            return self.get("/healthz/" + what)[0]
        except OSError:
            return None

    def is_ready(self):
        return self.health("ready") == 200

    def metric(self, name):
        """The sum of a metric over its labels; name may hold a label selector."""
        total = 0.0
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(name) and line[len(name):][:1] in (" ", "{"):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def outcomes(self, name):
        return self.metric('ringgate_outcomes_total{outcome="%s"}' % name)

    @property
    def generation(self):
        return int(self.metric("ringgate_config_generation"))

    def apply(self, objects, name="main.yaml"):
        """Writes and waits until it serves."""
        before = self.generation
        self.write(objects, name)
        wait_until(lambda: self.generation > before, "the new configuration")
        self.settled()

    def settled(self):
        """Two workers take a snapshot one after the other: wait for the statuses, written last."""
        generation = self.generation
        wait_until(lambda: self.generation == generation and self.is_ready(), "readiness")

    def logs(self):
        if not self.log_path.exists():
            return []
        lines = self.log_path.read_text(errors="replace").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def log(self, **fields):
        """The first log record with these values; waits for it."""

        def find():
            return next((r for r in self.logs()
                         if all(r.get(k) == v for k, v in fields.items())), None)

        return wait_until(find, f"a log record with {fields}")

    def errors(self):
        return self.error_path.read_text(errors="replace")

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=TIMEOUT_S):
        return self.process.wait(timeout)

    def memory_kib(self):
        """Resident; 0 under sanitizers, which keep what is freed and more beside it."""
        if self.is_sanitized():
            return 0
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    def is_sanitized(self):
        maps = Path(f"/proc/{self.process.pid}/maps").read_text()
        return "libasan" in maps or "libtsan" in maps

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self, code=0):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            result = self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the gateway did not stop\n{self.errors()}") from None
        finally:
            process, self.process = self.process, None
            del process
        text = self.errors()
        broken = BROKEN.search(text)
        assert not broken, "\n".join(text[broken.start():].splitlines()[:45])
        assert result == code, f"exit status {result}\n{text}"
