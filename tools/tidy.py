#!/usr/bin/env python3
"""The rules of the house that a program can check. Each rule is one case of the count.

Imports go down only (the table is CMakeLists.txt's list of rooms); files under 500 lines, functions
under 70, lines within 100 columns; calls that belong into io/ stay there; public classes say what
they are for; every room has a README; docs/openapi.yaml describes every route and every member of
JSON; what documents say of metrics is about such that there are; no notes to self are left behind.
"""

import itertools
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100
README_LINES_MAX = 40
CODE = {".cpp", ".h", ".py", ".sh", ".cmake", ".js", ".mjs", ".go"}

# Call: what to use instead. Only outside io/ and sim/.
BANNED = {
    r"\b(steady_clock|system_clock|high_resolution_clock)::now\(": "io::Clock",
    r"\bstd::this_thread\b": "io::Clock",
    r"\bstd::j?thread\b": "io::Workers",
    r"\bstd::random_device\b|\bs?rand\(\)": "io::Random",
    r"\bstd::(i|o)?fstream\b|\bfopen\(": "io::Filesystem",
    r"\bstd::filesystem\b": "io::Filesystem",
    r"(?<![\w:.>])::(socket|connect|bind|fork|execve|open|unlink)\(": "io",
    r"\bsystem\(|\bpopen\(": "io::Processes",
}
# What the command line may do: it is a client of the node and owns the terminal.
BANNED_EXCEPT = {"src/app/cli/", "src/app/main.cpp"}

# A loop over literals (variable, values) or the registration of a route (method, pattern).
ROUTES = re.compile(r'for \(const std::string_view (\w+) : \{([^}]*)\}|'
                    r'(?:\badd\(|\{)\s*("[A-Z]+"|\w+),\s*("/[^"]*"|\w+)\s*,')

# What names a member of a request or an answer: calls that read or write one, rows of tables and
# members of objects that are written at once.
MEMBERS = re.compile(
    r'(?:\.|->)(?:read|find|array|object|string|required_string|boolean|integer|strings|text|texts|'
    r'copy_number|copy_integer|member|member_if|key|has|if_contains)\(\s*"([a-z_]+)"|'
    r'\b(?:read_with|read_files|read_messages|write_list|write_end_id|parse_schema)'
    r'\([^,()]+, "([a-z_]+)"|\{"([a-z_]+)", |\["([a-z_]+)"\]')
# Beside src/api.
MEMBERS_ALSO_IN = {"src/app/cluster_admin.cpp", "src/model/options.cpp",
                   "src/scheduler/node_placement.cpp"}
# Ollama's own debugging and clouds; words that are values.
MEMBERS_UNDESCRIBED = {"_debug_render_only", "_debug_info", "rendered_template", "image_count",
                       "remote_host", "completion", "ultra", "properties"}


def tracked():
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"],
                            cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).is_file()]


def is_test(path):
    return path.name.endswith(("_test.cpp", "_fuzz.cpp", "_for_test.h", "_for_test.cpp")) \
        or path.parent.name == "testing"


def relative(path):
    return str(path.relative_to(ROOT))


def routes_in(text):
    """The routes that a source of api/ registers, as (method, path of OpenAPI).

    They stand in calls of add() and in rows of tables: a method and a pattern, each a literal or
    the variable of a loop over literals.
    """
    loops = {}
    for found in ROUTES.finditer(text):
        variable, values, *words = found.groups()
        if variable:
            loops[variable] = re.findall(r'"([^"]*)"', values)
            continue
        methods, patterns = ([word[1:-1]] if word.startswith('"') else loops.get(word, [])
                             for word in words)
        for method, pattern in itertools.product(methods, patterns):
            yield method, re.sub(r"/[:*](\w+)", r"/{\1}", pattern)


def properties_in(lines):
    """The properties of all schemas of an OpenAPI document, and the values of its enums."""
    for index, line in enumerate(lines):
        for values in re.findall(r"\b(?:enum: \[([^]]*)\]|const: (\w+))", line):
            yield from re.findall(r"\w+", " ".join(values))
        for found in re.finditer(r"\bproperties: \{", line):
            at, depth = found.end(), 1
            while at < len(line) and depth > 0:
                key = re.compile(r"[, ]*(\w+):").match(line, at) if depth == 1 else None
                if key:
                    yield key[1]
                    at = key.end()
                else:
                    depth += (line[at] in "{[") - (line[at] in "}]")
                    at += 1
        if not (block := re.match(r"( *(?:- )?)properties:$", line)):
            continue
        below = list(itertools.takewhile(
            lambda inner: len(inner) - len(inner.lstrip()) > len(block[1]), lines[index + 1:]))
        width = len(below[0]) - len(below[0].lstrip())
        for inner in below:
            if key := re.match(rf" {{{width}}}(\w+):", inner):
                yield key[1]


# Where a function begins, perhaps one whose signature goes on in the next lines.
FUNCTION = re.compile(r"(?!(?:namespace|class|struct|enum|union|extern)\b)"
                      r"[A-Za-z_][^=]*(operator\W+)?\(")
METRIC_ENDS = re.compile(r"_(bucket|sum|count)$")  # One of the samples of a metric.


class Rules:
    def __init__(self):
        self.files = tracked()
        self.code = [path for path in self.files if path.suffix in CODE or path.name == "run"]
        self.cpp = [path for path in self.code if path.suffix in {".cpp", ".h"}]
        self.text = {path: path.read_text(errors="replace").split("\n") for path in self.code}

    def lines(self, paths):
        for path in paths:
            for number, line in enumerate(self.text[path], 1):
                yield path, number, line

    def files_are_short(self):
        for path in self.code:
            lines = len(self.text[path]) - 1
            if lines >= FILE_LINES_MAX:
                yield f"{relative(path)}: {lines} lines, split it by what it does"

    def lines_are_short(self):
        for path, number, line in self.lines(self.code):
            if len(line) > COLUMNS_MAX and "http" not in line:
                yield f"{relative(path)}:{number}: {len(line)} columns"

    def functions_are_short(self):
        for path in self.cpp:
            start, is_head = None, False
            for number, line in enumerate(self.text[path], 1):
                if re.match(r"\w", line):
                    is_head = bool(FUNCTION.match(line))
                if is_head and line.endswith("{"):
                    start, is_head = number, False
                if line.startswith("}") and start is not None:
                    if number - start - 1 > FUNCTION_LINES_MAX:
                        yield f"{relative(path)}:{start}: function of {number - start - 1} lines"
                    start = None

    def imports_go_down(self):
        table = {}
        for line in (ROOT / "CMakeLists.txt").read_text().split("\n"):
            if match := re.match(r"ollamamax_room\((\w+)(.*)\)", line):
                table[match.group(1)] = set(match.group(2).split()) | {match.group(1)}
        for path, number, line in self.lines(self.cpp):
            match = re.match(r'#include "(\w+)/', line)
            if not match or not relative(path).startswith("src/"):
                continue
            room, wanted = relative(path).split("/")[1], match.group(1)
            test = is_test(path)
            if wanted in table and wanted not in table.get(room, set()):
                yield f"{relative(path)}:{number}: {room} may not import {wanted}"
            if wanted in {"sim", "test", "bench"} and not test:
                yield f"{relative(path)}:{number}: product code may not import {wanted}"

    def outside_stays_in_io(self):
        for path, number, line in self.lines(self.cpp):
            name = relative(path)
            if not name.startswith("src/") or name.startswith("src/io/"):
                continue
            if any(name.startswith(allowed) for allowed in BANNED_EXCEPT):
                continue
            if is_test(path) or line.lstrip().startswith("//"):
                continue
            for pattern, instead in BANNED.items():
                if re.search(pattern, line):
                    yield f"{name}:{number}: use {instead}: {line.strip()[:70]}"

    def coroutines_capture_nothing(self):
        for path, number, line in self.lines(self.cpp):
            if re.search(r"\[[^\]]+\]\s*\([^)]*\)\s*(mutable\s*)?->\s*(io::)?Task<", line):
                yield f"{relative(path)}:{number}: a lambda coroutine with captures"

    def public_classes_say_why(self):
        for path in self.cpp:
            if path.suffix != ".h" or not relative(path).startswith("src/"):
                continue
            lines = self.text[path]
            seen = 0
            for index, line in enumerate(lines):
                if not re.match(r"^class \w+[^;]*\{?$", line):
                    continue
                seen += 1
                if seen == 1 and lines[0].startswith("//"):
                    continue  # The comment that opens the file is about its first class.
                above = index - 1
                while above >= 0 and lines[above].startswith("template"):
                    above -= 1
                if not lines[above].lstrip().startswith("//"):
                    yield f"{relative(path)}:{index + 1}: say what {line.split()[1]} is for"

    def headers_are_guarded(self):
        for path in self.cpp:
            if path.suffix == ".h" and "#pragma once" not in self.text[path]:
                yield f"{relative(path)}: #pragma once is missing"

    def rooms_have_a_readme(self):
        for room in sorted((ROOT / "src").iterdir()):
            readme = room / "README.md"
            if not readme.is_file():
                yield f"src/{room.name}/README.md is missing"
            elif len(readme.read_text().splitlines()) > README_LINES_MAX:
                yield f"src/{room.name}/README.md: more than {README_LINES_MAX} lines"

    def routes_are_described(self):
        registered, described = {}, set()
        for path in self.cpp:
            if relative(path).startswith("src/api/") and not is_test(path):
                for route in routes_in("\n".join(self.text[path])):
                    registered[route] = relative(path)
        for line in (ROOT / "docs/openapi.yaml").read_text().split("\n"):
            if match := re.match(r"  (/\S*):$", line):
                where = match.group(1)
            elif match := re.match(r"    (get|head|post|put|patch|delete|options):$", line):
                described.add((match.group(1).upper(), where))
        for route in registered.keys() - described:
            yield f"{registered[route]}: docs/openapi.yaml does not describe {' '.join(route)}"
        for route in described - registered.keys():
            yield f"docs/openapi.yaml: src/api registers no {' '.join(route)}"

    def members_are_described(self):
        described = set(properties_in((ROOT / "docs/openapi.yaml").read_text().split("\n")))
        for path in self.cpp:
            name = relative(path)
            speaks = name.startswith("src/api/") or name in MEMBERS_ALSO_IN
            if not speaks or path.suffix == ".h" or is_test(path):
                continue
            named = {member for found in MEMBERS.findall("\n".join(self.text[path]))
                     for member in found if member}
            for member in named - described - MEMBERS_UNDESCRIBED:
                yield f"{name}: docs/openapi.yaml does not describe \"{member}\""

    def metrics_of_documents_exist(self):
        declared = {name for path in self.cpp if not is_test(path)
                    for name in re.findall(r'"((?:ollamamax|process)_\w+)"',
                                           "\n".join(self.text[path]))}
        for path in self.files:
            if path.suffix != ".md" and not relative(path).startswith("deploy/"):
                continue
            for number, line in enumerate(path.read_text(errors="replace").split("\n"), 1):
                for name in re.findall(r"\b(?:ollamamax|process)_[a-z_]+", line):
                    is_start = name.endswith("_") and any(one.startswith(name) for one in declared)
                    if not is_start and not declared & {name, METRIC_ENDS.sub("", name)}:
                        yield f"{relative(path)}:{number}: src/ declares no metric {name}"

    def nothing_is_left_for_later(self):
        note = "|".join(["FIX" + "ME", "TO" + "DO", "X" * 3 + r"\b", "HA" + "CK"])
        for path, number, line in self.lines(self.code):
            if re.search(rf"\b({note})", line):
                yield f"{relative(path)}:{number}: {line.strip()[:70]}"

    def tests_assert_something(self):
        for path in self.cpp:
            if not path.name.endswith("_test.cpp") or path.name.endswith("_for_test.cpp"):
                continue  # What ends in _for_test helps tests and has none.
            text = "\n".join(self.text[path])
            if not re.search(r"\b(EXPECT|ASSERT|RC_ASSERT|SUCCEED|ADD_FAILURE)", text):
                yield f"{relative(path)}: asserts nothing"
            if "GTEST_SKIP" in text:
                yield f"{relative(path)}: skips; a test that cannot run must fail and say why"

    def sources_are_formatted(self):
        names = [str(path) for path in self.cpp]
        for start in range(0, len(names), 40):
            result = subprocess.run(["clang-format-19", "--dry-run", "-Werror",
                                     *names[start:start + 40]], capture_output=True, text=True)
            for line in result.stderr.split("\n"):
                if "error:" in line:
                    yield line.replace(str(ROOT) + "/", "")


def main():
    rules = Rules()
    passed = failed = 0
    for name in [name for name in vars(Rules) if not name.startswith("_")]:
        if name == "lines":
            continue
        found = sorted(set(getattr(rules, name)()))
        passed, failed = passed + (not found), failed + bool(found)
        if found:
            print(f"{name.replace('_', ' ')}: {len(found)}")
            for line in found[:40]:
                print(f"  {line}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
