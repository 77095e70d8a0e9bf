# SPDX-License-Identifier: Apache-2.0
"""Files and directories of the configuration that come, go, and cannot be read for a while."""
import os
import resource
import signal
import time

import pytest

import manifests as m
from test_config import objects, status
from wire import wait_until


@pytest.fixture
def served(gateways, origins):
    gateway, origin = gateways(), origins()
    gateway.write(objects(gateway.port, origin.port))
    gateway.origin = origin
    return gateway.start()


def rules(served, path):
    return objects(served.port, served.origin.port, [m.rule(path, ["one"])])


def expect_in_force(gateway, message):
    """The path is told of, and all that it defined serves on."""
    wait_until(lambda: message in gateway.errors() and "stays in force" in gateway.errors())
    assert gateway.is_ready() and "listeners=0" not in gateway.errors()


def test_directory_is_away(served):
    away = served.folder / "away"
    served.config.rename(away)
    expect_in_force(served, "directory cannot be read: No such file")
    assert status(served) == 200
    away.rename(served.config)
    wait_until(lambda: served.metric("ringgate_config_last_reload_success") == 1)
    served.apply(rules(served, "/again"))
    wait_until(lambda: status(served, "/again") == 200 and status(served, "/x") == 404)


def test_file_is_away(gateways, origins):
    gateway, gateway.origin = gateways(), origins()
    path = gateway.folder / "one.yaml"
    gateway.arguments = ["--config", str(path)]
    path.write_text(m.document(rules(gateway, "/first")))
    gateway.start()
    os.unlink(path)
    expect_in_force(gateway, "cannot be read: No such file")
    assert status(gateway, "/first") == 200
    path.write_text(m.document(rules(gateway, "/next")))
    wait_until(lambda: status(gateway, "/next") == 200 and status(gateway, "/first") == 404)


def test_directory_without_descriptors(served):
    assert status(served) == 200
    pid, name = served.process.pid, resource.RLIMIT_NOFILE
    before = resource.prlimit(pid, name)
    resource.prlimit(pid, name, (0, before[1]))
    try:
        served.signal(signal.SIGHUP)
        wait_until(lambda: "Too many open files" in served.errors())
    finally:
        resource.prlimit(pid, name, before)
    expect_in_force(served, "directory cannot be read: Too many open files")
    assert status(served) == 200
    wait_until(lambda: served.metric("ringgate_config_last_reload_success") == 1, "another try")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all; the unit tests are another user")
def test_directory_may_not_be_read(served):
    served.config.chmod(0)
    try:
        expect_in_force(served, "directory cannot be read: Permission denied")
        assert status(served) == 200
    finally:
        served.config.chmod(0o755)
    wait_until(lambda: served.metric("ringgate_config_last_reload_success") == 1, "another try")


def test_nothing_new_is_not_published(served):
    """A write that changes neither an object nor a finding; standing findings are told once."""
    served.apply([*rules(served, "/"), m.http_route("wrong", 7)])
    before = served.generation
    told = served.errors()
    for i in range(3):
        (served.config / "beside.txt").write_text(str(i))
        served.write([*rules(served, "/"), m.http_route("wrong", 7)])
        time.sleep(0.1)  # for a load, which must do nothing; too short finds less
    served.apply(rules(served, "/next"))
    assert served.generation == before + 1
    assert served.errors()[len(told):].count("RG010") == 0


SWAPPED = {"root": "", "in_root": "/conf", "file": "/conf/r.yaml", "linked": "/conf/r.yaml",
           "linked_dir": "/conf"}


class Releases:
    """Folder/current leads to one of two versions, one of which is being written."""

    def __init__(self, gateway, name):
        self.gateway, self.name, self.current = gateway, name, gateway.folder / f"current-{name}"
        self.path = f"{self.current}{SWAPPED[name]}"
        if name.startswith("linked"):
            suffix = ".yaml" if name == "linked" else ""
            link = gateway.config / f"{name}{suffix}"
            link.symlink_to(f"../{self.current.name}{SWAPPED[name]}")
        else:
            gateway.arguments += ["--config", self.path]
        self.swap(1)

    def write(self, version, path):
        folder = self.gateway.folder / f"{self.name}-{version}" / "conf"
        folder.mkdir(parents=True, exist_ok=True)
        route = m.http_route(self.name.replace("_", "-"), [m.rule(path, ["one"])])
        (folder / "r.yaml").write_text(m.document([route]))

    def swap(self, version):
        self.write(version, f"/{self.name}/{version}")
        temporary = self.gateway.folder / "next"
        temporary.symlink_to(f"{self.name}-{version}")
        temporary.rename(self.current)

    def expect(self, version):
        path = f"/{self.name}/{version}"
        wait_until(lambda: status(self.gateway, path) == 200, f"route {path}")


def test_links_are_swapped(gateways, origins):
    """Whichever link of the way is swapped, above the root or beyond a link of the directory."""
    gateway, origin = gateways(), origins()
    good = objects(gateway.port, origin.port)
    gateway.write([o for o in good if o["kind"] != "HTTPRoute"])
    all_releases = [Releases(gateway, name) for name in SWAPPED]
    gateway.start()
    for releases in all_releases:
        releases.expect(1)
        for version in 2, 3:
            releases.swap(version)
            releases.expect(version)
        releases.write(3, f"/{releases.name}/4")  # in place
        releases.expect(4)
