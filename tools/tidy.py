#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Style as a test: checks the rules of doc/STYLE.md that a machine can check.

Prints TAP, one test a rule, every finding as a comment `path:line: text`.
Exceptions stand in tools/tidy.baseline, one a line:

    rule path detail  # reason

where detail is what the finding is about (a function, a symbol, an included
header), or `-`. The list may only shrink: an exception that nothing needs any
more fails, and so does one without a reason.
"""
import argparse
import re
import subprocess
import sys
from pathlib import Path

LINE_MAX = 100
FILE_MAX = 800
FUNCTION_MAX = 70
PARAMETERS_MAX = 5
# The library says what these take: its session first, a pointer of ours last.
NGHTTP2_CALLBACK = re.compile(r"\(nghttp2_session \*.*,\s*void \*\w+\)$")

# Folder -> what it may include: folders, or single headers.
MODEL = ["conf/model.h", "conf/kinds.h"]  # data, no functions of conf/
LAYERS = {
    "base": [],
    "io": ["base"],
    "conf": ["base"],
    "tls": ["base", "io", *MODEL],
    "http": ["base", "io"],
    "routing": ["base", *MODEL],
    "ratelimit": ["base", "io", "tls", *MODEL],
    "mesh": ["base", "io", "tls", "http", *MODEL],
    "kube": ["base", "io", "tls", "http", "conf"],
    "admin": ["base", "io", "http"],
    "gateway": ["base", "io", "conf", "tls", "http", "routing", "ratelimit", "mesh"],
}
LAYERS_EXEMPT = {"gateway/main.c", "gateway/run.c"}  # doc/decisions/0003

# Header of a library -> the files that may include it.
LIBRARIES = [
    (r"openssl/", r"tls/"),
    (r"llhttp", r"http/"),
    (r"nghttp2/", r"http/h2_"),
    (r"hiredis/", r"ratelimit/"),
    (r"(yaml|jansson)\.h", r"conf/"),
    (r"pcre2\.h", r"routing/"),
    (r"liburing", r"io/(uring|bufring)"),
    (r"linux/io_uring\.h", r"io/uring"),
    (r"xxh", r"base/hash\.c"),
    (r"ares", r"io/resolver"),
]

# Written so that this file does not contain what it looks for.
FORBIDDEN_TEXT = [re.compile(r"(?<![\w.-])/%s(?![\w-])" % name)
                  for name in ("wo" + "rk", "fa" + "rm")]
OPEN_QUESTION = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b")

SKIPPED_FOLDERS = {"autom4te.cache", "build-aux", "build", "__pycache__", "llhttp_local",
                   "check-asan", "check-ubsan", "check-tsan"}
SPDX = "SPDX-License-Identifier: Apache-2.0"
SPDX_KINDS = {".c", ".h", ".tbl", ".py", ".sh", ".t", ".am", ".ac", ".m4", ".inc", ".lua"}
CODE_KINDS = {".c", ".h"}
NARROW_KINDS = {".c", ".h", ".py", ".sh", ".t", ".ac", ".m4"}
TABLESS_KINDS = {".c", ".h", ".tbl", ".py", ".sh", ".t", ".yaml", ".yml"}


class File:
    """One file of the tree: its path from the root with '/', and its lines."""

    def __init__(self, root, path):
        self.path = path.relative_to(root).as_posix()
        self.kind = path.suffix
        self.folder = self.path.split("/")[0]
        self.stem = path.stem
        data = path.read_bytes()
        self.is_text = b"\0" not in data
        self.data = data
        self.lines = data.decode("utf-8", "replace").split("\n") if self.is_text else []
        if self.lines and self.lines[-1] == "":
            self.lines.pop()

    def is_product(self):
        return self.kind in CODE_KINDS and self.folder in LAYERS


def tree_read(root):
    files = []
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if any(p in SKIPPED_FOLDERS or (p.startswith(".") and p != ".ci") for p in parts[:-1]):
            continue
        if path.is_symlink() or not path.is_file():
            continue
        if parts[0] in LAYERS or parts[0] in {"t", "tools", "m4", "doc", "systemd", "demo", ".ci"}:
            if path.suffix in {".o", ".a", ".log", ".trs", ".pyc", ".Po"}:
                continue
            files.append(File(root, path))
        elif len(parts) == 1 and (path.suffix in {".am", ".ac", ".md"} or parts[0] == "quickstart"):
            files.append(File(root, path))
    return files


def without_comments(lines):
    """The lines with comments and the contents of literals blanked."""
    text = "\n".join(lines)
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''

    def blank(match):
        piece = match.group(0)
        if piece[0] in "\"'":
            return piece[0] + "x" * (len(piece) - 2) + piece[-1]
        return re.sub(r"[^\n]", " ", piece)

    return re.sub(pattern, blank, text, flags=re.S).split("\n")


def functions(file):
    """(name, first line, head, lines of the body) of each definition.

    Relies on the brace style: the body opens and ends with a brace in column 0.
    """
    lines = without_comments(file.lines)
    for number, line in enumerate(lines):
        if line.rstrip() != "{":
            continue
        first = number
        while first > 0 and lines[first - 1].strip() and not re.match(r"[}#]|.*[;}\\]\s*$",
                                                                    lines[first - 1]):
            first -= 1
        head = " ".join(lines[first:number])
        match = re.search(r"(\w+)\s*\(", re.sub(r"__attribute__\s*\(\(.*?\)\)", "", head))
        end = next((n for n in range(number, len(lines)) if lines[n].rstrip() == "}"), None)
        if match is None or end is None:
            continue
        yield match.group(1), first + 1, head, end - number + 1


def parameters_count(head, name):
    rest = head[head.index(name) + len(name):].lstrip()
    depth, pieces = 0, [""]
    for c in rest:
        depth += (c == "(") - (c == ")")
        if depth == 0:
            break
        if c == "," and depth == 1:
            pieces.append("")
        else:
            pieces[-1] += c
    pieces = [piece.strip("( )") for piece in pieces]
    return sum(piece not in ("", "void", "...") for piece in pieces)


def includes(file):
    """(line, "quoted" or "system", header, inside #if) of each include."""
    depth = 0
    for number, line in enumerate(file.lines, 1):
        if re.match(r"\s*#\s*if", line):
            depth += 1
        elif re.match(r"\s*#\s*endif", line):
            depth -= 1
        match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
        if match:
            guard = 1 if file.kind == ".h" else 0
            yield (number, "quoted" if match.group(1) == '"' else "system", match.group(2),
                   depth > guard)


# --- rules: each yields (path, line, detail, text) ------------------------------


def rule_spdx(files, _):
    for f in files:
        if f.kind not in SPDX_KINDS or not f.is_text:
            continue
        first = f.lines[1:2] if f.lines and f.lines[0].startswith("#!") else f.lines[:1]
        if not first or SPDX not in first[0]:
            yield f.path, 1, "-", "the first line is not the SPDX line"


def rule_line_length(files, _):
    for f in files:
        if f.kind in NARROW_KINDS:
            for n, line in enumerate(f.lines, 1):
                if len(line) > LINE_MAX:
                    yield f.path, n, "-", f"{len(line)} columns; at most {LINE_MAX}"


def rule_tabs(files, _):
    for f in files:
        if f.kind in TABLESS_KINDS:
            for n, line in enumerate(f.lines, 1):
                if "\t" in line:
                    yield f.path, n, "-", "a tab"
                    break


def rule_ascii(files, _):
    for f in files:
        if f.kind in CODE_KINDS | {".tbl", ".py"}:
            for n, line in enumerate(f.lines, 1):
                if not line.isascii():
                    yield f.path, n, "-", "text that is not ASCII"


def rule_file_length(files, _):
    for f in files:
        if f.kind in CODE_KINDS | {".py"} and len(f.lines) > FILE_MAX:
            yield f.path, 1, "-", f"{len(f.lines)} lines; at most {FILE_MAX}"


def rule_function_length(files, _):
    for f in files:
        if f.kind in CODE_KINDS:
            for name, line, _head, length in functions(f):
                if length > FUNCTION_MAX:
                    yield f.path, line, name, f"{name} has {length} lines; at most {FUNCTION_MAX}"


def rule_parameters(files, _):
    for f in files:
        if f.kind in CODE_KINDS:
            for name, line, head, _length in functions(f):
                count = parameters_count(head, name)
                if count > PARAMETERS_MAX and not NGHTTP2_CALLBACK.search(head):
                    yield (f.path, line, name,
                           f"{name} takes {count} parameters; at most {PARAMETERS_MAX}")


def rule_layers(files, _):
    for f in files:
        if not f.is_product() or f.path in LAYERS_EXEMPT:
            continue
        for line, kind, header, _cond in includes(f):
            target = header.split("/")[0]
            if kind != "quoted" or "/" not in header:
                continue
            if target != f.folder and target not in LAYERS[f.folder] and \
                    header not in LAYERS[f.folder]:
                yield f.path, line, header, f"{f.folder}/ may not include {header}"


def rule_libraries(files, _):
    for f in files:
        if not f.is_product():
            continue
        for line, kind, header, _cond in includes(f):
            for pattern, owners in LIBRARIES:
                if kind == "system" and re.match(pattern, header) and not re.match(owners, f.path):
                    yield f.path, line, header, f"<{header}> belongs to {owners}"


def rule_stems_unique(files, _):
    seen = {}
    for f in files:
        if f.is_product():
            folder = f.path.rsplit("/", 1)[0]
            other = seen.setdefault(f.stem, folder)
            if other != folder:
                yield f.path, 1, "-", f"the stem {f.stem} exists in {other}/ too"


def stem_prefixes(stem):
    """What symbols of a file may begin with: uring_rx.c may define uring_rx_*
    and uring_*. A plural names functions on a collection: diag.c, diags_*."""
    words = stem.split("_")
    singular = ["_".join(words[:n]) for n in range(1, len(words) + 1)]
    return singular + [stem + "s", stem + "es"]


def stem_owns(stem, symbol):
    return any(symbol == p or symbol.startswith(p + "_") for p in stem_prefixes(stem))


def symbols_of_objects(build):
    """(path without suffix, symbol) of everything the built objects define."""
    for folder in LAYERS:
        objects = sorted((build / folder).rglob("*.o")) if (build / folder).is_dir() else []
        if not objects:
            continue
        out = subprocess.run(["nm", "-A", "-g", "--defined-only"] + [str(o) for o in objects],
                             capture_output=True, text=True, check=True).stdout
        for line in out.splitlines():
            name, _, rest = line.partition(".o:")
            parts = rest.split()
            where = Path(name).relative_to(build)
            if len(parts) >= 2:
                yield (where.parent / where.name.split("-")[-1]).as_posix(), parts[-1]


def symbols_of_headers(files):
    for f in files:
        if f.kind != ".h" or not f.is_product():
            continue
        for line in without_comments(f.lines):
            match = re.match(r"(?!static|typedef|return|extern \"C|#)[A-Za-z_][\w\s*]*?\b"
                             r"([a-z]\w*)\(", line)
            if match:
                yield f.path[:-2], match.group(1)


def rule_symbol_prefix(files, build):
    """A symbol begins with the stem of its file, or with its folder's name.

    Where no object was built, the prototypes in headers are looked at; those
    may belong to any file of the folder.
    """
    product = [f for f in files if f.is_product()]
    sources = {f.path[:-2] for f in product if f.kind == ".c"}
    objects = set(symbols_of_objects(build)) if build is not None else set()
    built = {path for path, _ in objects}
    for path, symbol in sorted(objects | set(symbols_of_headers(files))):
        folder, stem = path.rsplit("/", 1)
        is_object = (path, symbol) in objects
        if is_object and path not in sources or symbol.startswith("_") or "." in symbol:
            continue
        # A header without a .c file lends its stem to the files that serve it.
        stems = {stem} | {f.stem for f in product if f.path.rsplit("/", 1)[0] == folder and
                          (f.path[:-2] not in sources or not is_object)}
        if any(stem_owns(s, symbol) for s in stems) or \
                symbol.startswith(folder.split("/")[0] + "_"):
            continue
        if (stem, symbol) == ("main", "main") or (not is_object and path in built):
            continue
        yield path, 0, symbol, f"{symbol} does not begin with the stem of its file, {stem}"


def own_header(path, header):
    folder, stem = path.rsplit("/", 1)
    stem = stem.rsplit(".", 1)[0]
    if "/" not in header or header.rsplit("/", 1)[0] not in (folder, folder.rsplit("/", 1)[0]):
        return False
    name = header.rsplit("/", 1)[1][:-2]
    return stem_owns(stem, name[:-4] if name.endswith("_int") else name)


def rule_include_order(files, _):
    paths = {f.path for f in files}
    for f in files:
        if f.kind != ".c":
            continue
        tops = [i for i in includes(f) if i[2].endswith(".h") and not i[3]]
        if not tops or tops[0][2] != "base/base.h":
            yield f.path, 1, "base/base.h", '"base/base.h" is not the first include'
            continue
        if not f.is_product():
            continue
        rest, seen_system, last = tops[1:], False, ""
        if f.path[:-1] + "h" not in paths and rest and rest[0][1] == "quoted" and \
                rest[0][2].startswith(f.folder + "/"):
            rest = rest[1:]  # it serves a header of another name
        while rest and rest[0][1] == "quoted" and own_header(f.path, rest[0][2]):
            rest = rest[1:]
        for line, kind, header, _cond in rest:
            if kind == "system":
                seen_system = True
                if last:
                    yield f.path, line, header, f"<{header}> comes after headers of the project"
            else:
                if header < last:
                    yield f.path, line, header, f"{header} comes after {last}"
                last = header
                if own_header(f.path, header) and seen_system and \
                        header == f.path[:-1] + "h":
                    yield f.path, line, header, "the file's own header comes before <> headers"


def rule_header_guards(files, _):
    for f in files:
        if f.kind != ".h":
            continue
        path = f.path[2:] if f.path.startswith("t/") else f.path
        names = {"RINGGATE_" + re.sub(r"\W", "_", p).upper() for p in (f.path, path)}
        text = "\n".join(f.lines)
        match = re.search(r"^#ifndef (\w+)\n#define (\w+)$", text, re.M)
        if not match or match.group(1) != match.group(2) or match.group(1) not in names:
            yield f.path, 1, "-", f"the guard is not {min(names)}"


def rule_text(files, _):
    for f in files:
        if not f.is_text:
            continue
        for n, line in enumerate(f.lines, 1):
            if any(p.search(line) for p in FORBIDDEN_TEXT):
                yield f.path, n, "-", "names a path of the machine it was written on"
            if f.kind in CODE_KINDS | {".py"} and OPEN_QUESTION.search(line):
                yield f.path, n, "-", "an open question without a decision; see NEEDSWORK"


def rule_typedefs(files, _):
    for f in files:
        if f.kind not in CODE_KINDS:
            continue
        for n, line in enumerate(without_comments(f.lines), 1):
            if re.match(r"\s*typedef\s+(struct|union|enum)\b", line):
                yield f.path, n, "-", "a typedef of a struct, union or enum"
            if re.match(r"\s*typedef\b.*\b\w+_t\s*;", line):
                yield f.path, n, "-", "a typedef that ends in _t"


def rule_calls(files, _):
    banned = re.compile(r"(?<![\w.>])(alloca|rand|srand|sleep|usleep)\s*\(")
    for f in files:
        if f.is_product():
            for n, line in enumerate(without_comments(f.lines), 1):
                match = banned.search(line)
                if match:
                    yield f.path, n, match.group(1), f"calls {match.group(1)}"


RULES = [(name[5:].replace("_", "-"), rule) for name, rule in sorted(globals().items())
         if name.startswith("rule_")]


def baseline_read(path):
    """{(rule, path, detail): line number}, and the lines that are wrong."""
    entries, wrong = {}, []
    if not path.exists():
        return entries, wrong
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        rule, _, reason = line.partition("#")
        parts = rule.split()
        if len(parts) != 3 or not reason.strip() or parts[0] not in dict(RULES):
            wrong.append(f"tools/tidy.baseline:{number}: not `rule path detail  # reason`")
        else:
            entries[tuple(parts)] = number
    return entries, wrong


def main():
    parser = argparse.ArgumentParser(description="Checks the style of the tree.")
    parser.add_argument("--srcdir", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--builddir", type=Path, help="where objects are, for their symbols")
    options = parser.parse_args()
    root = options.srcdir.resolve()
    build = options.builddir.resolve() if options.builddir else None
    files = tree_read(root)
    entries, wrong = baseline_read(root / "tools" / "tidy.baseline")
    used, failed = set(), False
    print(f"1..{len(RULES) + 1}")
    for number, (name, rule) in enumerate(RULES, 1):
        findings = []
        for path, line, detail, text in rule(files, build):
            if (name, path, detail) in entries:
                used.add((name, path, detail))
            else:
                findings.append(f"{path}:{line}: {text}" if line else f"{path}: {text}")
        print(f"{'not ok' if findings else 'ok'} {number} - {name}")
        for finding in findings:
            print(f"# {finding}")
        failed = failed or bool(findings)
    wrong += [f"tools/tidy.baseline:{entries[key]}: nothing needs this exception any more"
              for key in sorted(set(entries) - used, key=lambda key: entries[key])]
    print(f"{'not ok' if wrong else 'ok'} {len(RULES) + 1} - baseline")
    for finding in wrong:
        print(f"# {finding}")
    return 1 if failed or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
