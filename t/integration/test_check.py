# SPDX-License-Identifier: Apache-2.0
"""`ringgate check`: everything that is wrong, at once and in the right place."""
import json
import os
import subprocess
from pathlib import Path

import pytest
from process import RINGGATE

GOLDEN = Path(os.environ.get("abs_top_srcdir", ".")).resolve() / "t" / "golden"


def check(*args, cwd=None):
    return subprocess.run([RINGGATE, "check", *map(str, args)], capture_output=True, text=True,
                          check=False, timeout=60, cwd=cwd)


def gateway(port=8080):
    return f"""apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge, namespace: demo}}
spec:
  gatewayClassName: ringgate
  listeners:
  - name: https
    port: {port}
    protocol: HTTPS
    tls: {{certificateRefs: [{{name: front}}]}}
"""


def secret(cert, key):
    def indent(text):
        return "".join(f"    {line}\n" for line in text.splitlines())
    return ("---\napiVersion: v1\nkind: Secret\nmetadata: {name: front, namespace: demo}\n"
            "type: kubernetes.io/tls\nstringData:\n  tls.crt: |\n" + indent(cert) +
            "  tls.key: |\n" + indent(key))


def route(match):
    return ("---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n"
            "metadata: {name: r, namespace: demo}\nspec:\n  parentRefs: [{name: edge}]\n  rules:\n"
            f"  - matches: [{match}]\n    filters:\n    - type: RequestRedirect\n"
            "      requestRedirect: {hostname: other.test}\n")


def test_eight_mistakes():
    """Each of the eight lines holds one mistake; each is told there, with an excerpt of it."""
    name = "eight_mistakes.yaml"
    expected = [(20, 15, "RG125"), (58, 13, "RG103"), (65, 18, "RG105"), (75, 11, "RG101"),
                (91, 5, "RG110"), (109, 13, "RG010"), (120, 11, "RG140"), (137, 15, "RG012")]
    result = check(name, cwd=GOLDEN)
    lines = (GOLDEN / name).read_text().splitlines()
    assert result.returncode == 78 and result.stderr == ""
    assert result.stdout.endswith("8 errors, 0 warnings.\n")
    for line, column, code in expected:
        assert f"{name}:{line}:{column}: error[{code}] " in result.stdout
        assert f"{line:5} | {lines[line - 1]}\n      | {' ' * (column - 1)}^" in result.stdout
    assert 'did you mean "echo"?' in result.stdout
    assert "ResolvedRefs=False, BackendNotFound" in result.stdout
    as_json = check("--output", "json", name, cwd=GOLDEN)
    found = json.loads(as_json.stdout)
    assert as_json.returncode == 78
    assert (found["errors"], found["warnings"]) == (8, 0)
    assert [(f["line"], f["column"], f["code"]) for f in found["findings"]] == expected
    assert all(f["file"] == name and f["object"] and f["field"] and f["message"]
               for f in found["findings"])


def test_good(folder):
    assert check(GOLDEN / "basic.yaml").returncode == 78  # its PEM is none: tls/ knows
    path = Path(folder) / "good.yaml"
    path.write_text(gateway().replace("HTTPS", "HTTP").replace(
        "    tls: {certificateRefs: [{name: front}]}\n", "") + route("{path: {value: /}}"))
    result = check("--strict", path)
    assert (result.returncode, result.stdout) == (0, "0 errors, 0 warnings.\n")
    dump = check("--dump", path).stdout
    assert "listener demo/edge/https HTTP port 8080" in dump and "route demo/r for" in dump


def test_warnings(folder):
    path = Path(folder) / "warning.yaml"
    path.write_text("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n")
    assert check(path).returncode == 0
    assert check("--strict", path).returncode == 1


@pytest.mark.parametrize("args", [[], ["--output", "xml", "x"], ["--output"], ["--what", "x"]])
def test_usage(args):
    result = check(*args)
    assert result.returncode == 2 and "Usage: ringgate check" in result.stderr


def test_missing_path(folder):
    result = check(Path(folder) / "no-such-directory")
    assert result.returncode == 78 and "no-such-directory" in result.stdout


def test_key_mismatch(folder, certs):
    path = Path(folder) / "mismatch.yaml"
    path.write_text(gateway() + secret(certs.a.cert_text, certs.a.key_text))
    assert check(path).returncode == 0
    path.write_text(gateway() + secret(certs.a.cert_text, certs.b.key_text))
    result = check(path)
    assert result.returncode == 78 and "error[RG133] Secret demo/front" in result.stdout
    for line in certs.b.key_text.splitlines()[1:-1]:
        assert line not in result.stdout


def test_regex(folder, certs):
    path = Path(folder) / "regex.yaml"
    text = gateway() + secret(certs.a.cert_text, certs.a.key_text)
    path.write_text(text + route('{path: {type: RegularExpression, value: "/a(b"}}'))
    result = check(path)
    assert result.returncode == 78 and "error[RG118] HTTPRoute demo/r" in result.stdout
    assert "spec.rules[0].matches[0].path.value" in result.stdout
    assert "Accepted=False, UnsupportedValue" in result.stdout


def test_rpc_regex(folder, certs):
    """Each half of a call is looked at on its own, where it stands."""
    path = Path(folder) / "rpc.yaml"
    calls = '{method: {type: RegularExpression, service: "a)(b", method: "ok.*"}}'
    text = gateway() + secret(certs.a.cert_text, certs.a.key_text) + route(calls)
    path.write_text(text.replace("kind: HTTPRoute", "kind: GRPCRoute"))
    result = check(path)
    assert result.returncode == 78 and "error[RG118] GRPCRoute demo/r" in result.stdout
    assert "spec.rules[0].matches[0].method.service" in result.stdout
    assert result.stdout.count("RG118") == 1


def test_what_is_left_out_is_not_missing(folder):
    """Who refers to an object with errors is not sent to look for it elsewhere."""
    path = Path(folder) / "left_out.yaml"
    path.write_text(gateway(port=80800) + route("{method: get}").replace("name: r,", "name: s,") +
                    route("{method: GET}"))
    result = check(path)
    lines = result.stdout.splitlines()
    assert result.returncode == 78 and lines[-1] == "3 errors, 0 warnings."
    at = next(i for i, line in enumerate(lines) if "error[RG101] HTTPRoute demo/r: " in line)
    assert 'no Gateway "edge" in namespace "demo"' in lines[at]
    assert "^~~~ it is left out for its own errors" in lines[at + 2]
    assert lines[-2].startswith("2 objects with errors were not looked at further: more ")
    assert json.loads(check("--output", "json", path).stdout)["refused"] == 2
    assert 'did you mean "GET"?' in result.stdout


def test_ranges_for_people(folder):
    path = Path(folder) / "ranges.yaml"
    path.write_text(route("{path: {value: /}}").replace(
        "{hostname: other.test}", "{statusCode: 200}") +
        "---\napiVersion: ringgate.dev/v1alpha1\nkind: RateLimitPolicy\n"
        "metadata: {name: l, namespace: demo}\nspec:\n"
        "  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r}]\n"
        "  rules: [{name: a, rate: {requests: 1, period: 0s}}]\n")
    result = check(path)
    assert "200 must be 301, 302, 303, 307 or 308" in result.stdout
    assert "0s is out of range: allowed are 1s to 1h" in result.stdout
