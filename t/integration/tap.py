#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs pytest in this folder and prints a TAP line a test, as it ends."""
import contextlib
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

try:
    import pytest
except ImportError:
    print("1..0 # SKIP pytest is missing: apt-get install python3-pytest")
    sys.exit(0)


class Tap:
    """A pytest plugin: set-up, call and teardown make one result."""

    def __init__(self, out):
        self.out = out
        self.count = 0
        self.failed = False
        self.open = {}

    def line(self, ok, name, directive=""):
        self.count += 1
        self.failed = self.failed or not ok
        # '#' would begin a directive.
        name = name.replace("#", "%").encode("ascii", "backslashreplace").decode()
        print(f"{'ok' if ok else 'not ok'} {self.count} - {name[:160]}{directive}", file=self.out,
              flush=True)

    def explain(self, text):
        for line in text.splitlines()[-60:]:
            print(f"# {line.encode('ascii', 'backslashreplace').decode()[:300]}", file=self.out)

    def pytest_runtest_logreport(self, report):
        reports = self.open.setdefault(report.nodeid, [])
        reports.append(report)
        if report.when != "teardown":
            return
        del self.open[report.nodeid]
        skipped = next((r for r in reports if r.skipped), None)
        bad = [r for r in reports if r.failed]
        reason = skipped.longrepr[2] if skipped and isinstance(skipped.longrepr, tuple) else ""
        self.line(not bad, report.nodeid.rpartition("/")[2],
                  f" # SKIP {' '.join(reason.split())}" if skipped and not bad else "")
        for one in bad:
            self.explain(one.longreprtext)

    def pytest_collectreport(self, report):
        if report.failed:
            self.line(False, f"collection of {report.nodeid}")
            self.explain(report.longreprtext)


def main():
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.environ.setdefault("abs_top_srcdir", str(HERE.parents[1]))
    tap = Tap(sys.stdout)
    # Comparisons of failed asserts are made with the terminal plugin, so it talks to nobody.
    with open(os.devnull, "w", encoding="utf-8") as nobody, contextlib.redirect_stdout(nobody):
        code = pytest.main(["-p", "no:cacheprovider", "--rootdir", str(HERE), "-c", os.devnull,
                            *(sys.argv[1:] or [str(HERE)])], plugins=[tap])
    print(f"1..{tap.count}")
    return 1 if tap.failed or code not in (0, 5) else 0


if __name__ == "__main__":
    sys.exit(main())
