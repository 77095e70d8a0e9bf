#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests tidy.py: each case puts one file with one fault into an otherwise
clean tree, and exactly the named rule must fail. Prints TAP."""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

TIDY = Path(__file__).resolve().parent / "tidy.py"
SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
BASE = SPDX + '#include "base/base.h"\n\n'


def function(head, lines):
    """A function whose body, braces included, has that many lines."""
    return head + "\n{\n" + "    ;\n" * (lines - 2) + "}\n"


def header(guard, body=""):
    return f"{SPDX}#ifndef {guard}\n#define {guard}\n{body}\n#endif\n"


# (rule that fails or None, path, text)
CASES = [
    (None, "io/a.c", BASE + function("void a_run(void)", 70)),
    ("function-length", "io/a.c", BASE + function("void a_run(void)", 71)),
    ("spdx", "io/a.c", BASE[len(SPDX):]),
    ("spdx", "tools/a.py", "print()\n"),
    (None, "io/a.c", BASE + "/*" + "x" * 96 + "*/\n"),
    ("line-length", "io/a.c", BASE + "/*" + "x" * 97 + "*/\n"),
    (None, "io/a.c", BASE + "\n" * 797),
    ("file-length", "io/a.c", BASE + "\n" * 798),
    ("tabs", "io/a.c", BASE + "\tint a;\n"),
    ("ascii", "io/a.c", BASE + "/* caf\u00e9 */\n"),
    (None, "io/a.c", BASE + "static void f(int a, int b, void (*c)(int, int), int d,\n    int e)\n"
     "{\n}\n"),
    ("parameters", "io/a.c", BASE + "static void f(int a, int b, int c,\n    int d, int e, int g)\n"
     "{\n}\n"),
    (None, "io/a.c", BASE + "static int f(nghttp2_session *ng, int a, int b,\n    int c, int d,"
     " void *user)\n{\n}\n"),
    ("parameters", "io/a.c", BASE + "static int f(nghttp2_session *ng, int a, int b,\n    int c,"
     " int d, int e)\n{\n}\n"),
    ("layers", "io/a.c", BASE + '#include "http/h.h"\n'),
    ("layers", "http/a.c", BASE + '#include "tls/h.h"\n'),
    ("layers", "routing/a.c", BASE + '#include "conf/objects.h"\n'),
    (None, "routing/a.c", BASE + '#include "conf/model.h"\n'),
    ("layers", "gateway/a.c", BASE + '#include "admin/h.h"\n'),
    (None, "gateway/main.c", BASE + '#include "admin/h.h"\n'),
    ("libraries", "http/a.c", BASE + "#include <openssl/ssl.h>\n"),
    (None, "tls/a.c", BASE + "#include <openssl/ssl.h>\n"),
    ("stems-unique", "io/panic.c", BASE),
    (None, "io/uring_rx.h", header("RINGGATE_IO_URING_RX_H", "void uring_go(void);")),
    ("symbol-prefix", "io/uring_rx.h", header("RINGGATE_IO_URING_RX_H", "void ring_go(void);")),
    ("header-guards", "io/a.h", header("RINGGATE_A_H")),
    ("include-order", "io/a.c", SPDX + "#include <errno.h>\n"),
    ("include-order", "io/a.c", BASE + '#include "base/log.h"\n#include <errno.h>\n'),
    ("include-order", "io/a.c", BASE + '#include "base/log.h"\n#include "base/arena.h"\n'),
    (None, "io/a.c", BASE + '#include "io/a.h"\n#include <errno.h>\n#include "base/log.h"\n'),
    ("typedefs", "io/a.c", BASE + "typedef struct a b;\n"),
    ("typedefs", "io/a.c", BASE + "typedef int my_t;\n"),
    ("calls", "io/a.c", BASE + "static int a = rand();\n"),
    (None, "io/a.c", BASE + "/* rand() */ static int a = my_rand();\n"),
    ("text", "io/a.c", BASE + "/* /wo" + "rk/x */\n"),
    (None, "io/a.c", BASE + "/* /wo" + "rkers and a/wo" + "rk */\n"),
    ("text", "io/a.c", BASE + "/* TO" + "DO */\n"),
    ("baseline", "tools/tidy.baseline", "calls io/b.c rand  # nobody calls it\n"),
    ("baseline", "tools/tidy.baseline", "calls io/b.c rand\n"),
]


def failed_rules(path, text):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, content in (("base/panic.c", BASE), (path, text)):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content)
        result = subprocess.run([sys.executable, str(TIDY), "--srcdir", str(root)],
                                capture_output=True, text=True, check=False)
        failed = re.findall(r"^not ok \d+ - (\S+)$", result.stdout, re.M)
        if (result.returncode != 0) != bool(failed):
            failed.append(f"exit {result.returncode} {result.stderr}")
        return failed


def main():
    print(f"1..{len(CASES)}")
    wrong = 0
    for number, (rule, path, text) in enumerate(CASES, 1):
        failed = failed_rules(path, text)
        good = failed == ([rule] if rule else [])
        wrong += not good
        print(f"{'ok' if good else 'not ok'} {number} - {rule or 'clean'} {path}")
        if not good:
            print(f"# failed: {failed}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
