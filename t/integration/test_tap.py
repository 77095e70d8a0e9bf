# SPDX-License-Identifier: Apache-2.0
"""tap.py itself: whatever version of pytest is there, a failure explains itself."""
import subprocess
import sys
from pathlib import Path

CASES = """
import pytest

def test_good():
    print("noise")

def test_compared():
    assert ["one", "two"] == ["one", "three"], "of the author"

def test_broken():
    raise KeyError("lost")

@pytest.mark.skip(reason="no such tool")
def test_skipped():
    pass
"""


def test_results(tmp_path):
    (tmp_path / "test_cases.py").write_text(CASES)
    out = subprocess.run([sys.executable, "-B", str(Path(__file__).with_name("tap.py")),
                          str(tmp_path)], capture_output=True, text=True, check=False, timeout=60)
    lines = out.stdout.splitlines()
    results = [line for line in lines if not line.startswith("#")]
    assert results == ["ok 1 - test_cases.py::test_good", "not ok 2 - test_cases.py::test_compared",
                       "not ok 3 - test_cases.py::test_broken",
                       "ok 4 - test_cases.py::test_skipped # SKIP Skipped: no such tool", "1..4"]
    assert out.returncode == 1
    for text in ("AssertionError: of the author", "At index 1 diff: 'two' != 'three'",
                 "KeyError: 'lost'"):
        assert any(text in line for line in lines), out.stdout
    assert "noise" not in out.stdout and "ValueError" not in out.stdout
