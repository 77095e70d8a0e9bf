# SPDX-License-Identifier: Apache-2.0
"""What the manual and the CRDs say is what the program has: every setting with its default, every
option, every field of the policies."""
import os
import re
from pathlib import Path

try:
    import yaml
except ImportError:
    yaml = None

ROOT = Path(os.environ.get("abs_top_srcdir", "."))
MANUAL = (ROOT / "doc/ringgate.8").read_text().replace("\\-", "-")
failures = []
number = 0


def result(name, missing):
    global number
    number += 1
    print(f"{'not ok' if missing else 'ok'} {number} - {name}")
    for item in missing:
        print(f"# {item}")


def size(text):
    """A default as the table writes it, in the manual's way."""
    if text in ('""',):
        return "empty"
    unit = re.fullmatch(r"(\d+) \* NS_PER_(S|MS)", text)
    if unit:
        return "1h" if text == "3600 * NS_PER_S" else unit[1] + unit[2].lower()
    return text.strip('"')


def settings():
    rows = re.findall(r"^SETTING\((\w+), (\w+), ([^,]+),", (ROOT / "conf/settings.tbl").read_text(),
                      re.M)
    missing = [] if rows else ["no setting found in conf/settings.tbl"]
    for name, kind, value in rows:
        text = size(value)
        if kind == "BOOL":
            text = "on" if value == "1" else "off"
        if kind == "SIZE":
            text = f"{int(value) // 1024}k"
        if f".BR {name} \" ({text})\"" not in MANUAL:
            missing.append(f"{name} ({text})")
    names = {name for name, _, _ in rows}
    for name in re.findall(r"^\.BR ([a-z_]+) \" \(", MANUAL, re.M):
        if name not in names:
            missing.append(f"{name} is no setting")
    return missing


def options():
    found = re.findall(r'^    \{"([a-z-]+)", \w+_argument',
                       (ROOT / "gateway/run.c").read_text(), re.M)
    missing = [] if found else ["no option found in gateway/run.c"]
    return missing + [f"--{name}" for name in found if f"--{name}" not in MANUAL]


def fields(schema):
    """Names of all properties in a schema."""
    for name, child in schema.get("properties", {}).items():
        yield name
        yield from fields(child)
    if "items" in schema:
        yield from fields(schema["items"])


def crd_fields():
    """The decoder's tables name the fields; those marked as not served are not in the CRDs."""
    decoder = "".join((ROOT / "conf" / name).read_text()
                      for name in ("schema_policy.c", "schema_common.c"))
    own = decoder[decoder.index("--- RateLimitPolicy: keys"):]
    own = own[:own.index("schema_rate_limit_store = ")]
    rows = re.findall(r"\.name = \"(\w+)\",\s*\.type = (\w+)", own)
    served = {name for name, kind in rows if kind not in ("DECODE_REFUSED", "DECODE_UNSERVED")}
    known = set(re.findall(r"\.name = \"(\w+)\"", decoder))
    written = set()
    for name in ("ratelimitpolicies", "ratelimitstores"):
        crd = yaml.safe_load((ROOT / f"conf/crd/{name}.yaml").read_text())
        version = crd["spec"]["versions"][0]
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        written.update(fields(spec))
    missing = [] if served else ["no field found in conf/schema_policy.c"]
    missing += [f"{name} is not in a CRD" for name in sorted(served - written)]
    return missing + [f"{name} is not decoded" for name in sorted(written - known)]


print("1..3")
result("the manual has every setting and its default", settings())
result("the manual has every option of run", options())
if yaml is not None:
    result("the CRDs have the fields that are decoded", crd_fields())
else:
    print("ok 3 # SKIP python3-yaml is not installed")
