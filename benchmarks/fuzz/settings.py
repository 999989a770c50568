"""Settings: any octets as a configuration file.

It is a configuration, or a SettingsError that says what is wrong and where; nothing else,
and in time. One that is accepted can be compiled, sent to another process, and shown.
"""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from benchmarks.fuzz.conversation import ROUTES
from benchmarks.process import ROOT
from trailproxy.build import make_plan
from trailproxy.core.upstream import Upstream
from trailproxy.ops.section import Section
from trailproxy.ops.settings import Settings, SettingsError, load, masked, pack, unpack
from trailproxy.ops.snapshot import compile_snapshot

_ENVIRON: Final = {
    "NAME": "app",
    "PORT": "8443",
    "NUMBER": "17",
    "EMPTY": "",
    "AGAIN": "${NAME}",
    "LINES": "a\nb: c",
    "STRUCTURE": "[{name: app}]",
    "ODD": "\udcff\x1b[2J",
}
_BREAKS: Final = re.compile("\r\n?|[\n\x85\u2028\u2029]".encode())  # of lines, as YAML 1.1 has them
_STEP: Final = re.compile(r"\[([0-9]+)\]|\.?([A-Za-z0-9_-]+|\"(?:[^\"\\]|\\.)*\")")

_FOLDER: Final = "/dev/shm" if Path("/dev/shm").is_dir() else None  # memory, where there is any

_LITTLE: Final = """
listeners: [{name: a, bind: "127.0.0.1:0"}]
upstreams: [{name: app, endpoints: ["${NAME}:1"]}]
routes: [{name: a, match: {}, upstream: app}]
"""
#: One of everything that `config/` does not have.
_EVERYTHING: Final = """
listeners: [{name: a, bind: "[::1]:8443", tls: {certificate: /c, private_key: /k, client_ca: /a}}]
upstreams:
  - name: app
    endpoints: [{address: "a:1", weight: 2}, "srv:_h2._tcp.a"]
    load_balancing: hash
    hash_by: {cookie: id}
    health_check: {path: /health, authority: a, interval: 1s}
    outlier_detection: {ejection_time: 1s, max_ejected: 100}
    tls: {certificate: /c, private_key: /k, server_name: a.b}
  - {name: "${NAME}-2", endpoints: ["unix:/a"], max_streams: 5}
routes:
  - name: all
    match: {authority: "*.a", method: GET, headers: [{name: x, regex: "a+"}], grpc: {method: M}}
    upstream: [{name: app, weight: 2}, {name: app-2}]
    hooks: a.b:c
admin: {bind: "unix:/admin"}
workers: auto
metrics: {grpc_methods: 3}
tracing: {otlp: "http://a:4318", service_name: a b}
watch: all
"""

#: What stands in place of a value.
VALUES: Final = (
    *("1", "-1", "0x10", "1e400", "9" * 400, "~", "true", "off", '""', "[]", "{}", "*a", "&a 1"),
    *("!!int 1", "0s", "250ms", "15", "999999999h", "64KiB", "9999999999GiB", "a", "app"),
    *('"\\ud800"', '"\\x00"', '"\\U0010ffff"', "'", '"', "- - a", "#", "@", "`", "%", "\t"),
    *("127.0.0.1:1", "'[::1]:1'", "unix:/a", "srv:a", "a:0", "a:99999", "é:1", "(a+)*", "a{1000}"),
    *("${NAME}", "${ODD}", "${EMPTY}", "${EMPTY:-1}", "${LINES}", "${STRUCTURE}", "${UNSET}"),
    *("$${", "${", "${AGAIN}", "[*a, *a]", "<<: *a", "---", "...", "%YAML 1.1", "\ufeff"),
    *("\x85", "\u2028"),
)

#: What holds values together, or begins something.
MARKS: Final = (
    *("\n", "\n  ", "\n- ", ": ", "{", "}", "[", "]", ", ", "? ", "!", "!<", "&", "*", "%TAG "),
    *("\\u", "\\x", "\\U", '"', "'", "|2\n", ">-\n"),
)


class _Idle(Upstream):
    """An upstream that nobody asks."""


def play(octets: bytes) -> None:
    """Load a file with these octets."""
    with tempfile.NamedTemporaryFile(dir=_FOLDER, suffix=".yaml") as file:
        file.write(octets)
        file.flush()
        try:
            settings = load(Path(file.name), _ENVIRON)
        except SettingsError as error:
            _judge_error(error, file.name, octets)
            return
    _judge(settings)


def _judge_error(error: SettingsError, name: str, octets: bytes) -> None:
    """See that it says what, where and in one line each."""
    assert error.name == name, f"another file: {error.name}"
    assert error.problems, "nothing is wrong"
    most = len(_BREAKS.findall(octets)) + 1
    for problem, line in zip(error.problems, error.lines(), strict=True):
        assert problem.why, "it does not say what"
        assert 0 <= problem.line <= most, f"there is no line {problem.line}: {line}"
        assert problem.line or not problem.path, f"a place without a line: {line}"
        assert _leads_somewhere(problem.path), f"no path: {problem.path}"
        assert min(line) >= " ", f"it would bend the terminal: {line!r}"
        line.encode()


def _leads_somewhere(path: str) -> bool:
    """Tell whether a path is one: keys and positions."""
    while path:
        step = _STEP.match(path)
        if step is None:
            return False
        path = path[step.end() :]
    return True


def _judge(settings: Settings) -> None:
    """See that what was accepted can be used."""
    sent = msgspec.json.decode(msgspec.json.encode(pack(settings)))
    assert unpack(sent) == settings, "not what was sent"
    assert not _shows_secrets(masked(settings)), "a secret is shown"
    bare = _without_files(settings)
    make_plan(bare)
    compile_snapshot(bare, {upstream.name: _Idle() for upstream in bare.upstreams})


def _without_files(settings: Settings) -> Settings:
    """Return the settings without what would be read or imported."""
    replace = msgspec.structs.replace
    return replace(
        settings,
        listeners=tuple(replace(listener, tls=None) for listener in settings.listeners),
        upstreams=tuple(replace(upstream, tls=None) for upstream in settings.upstreams),
        routes=tuple(replace(route, hooks=None) for route in settings.routes),
        admin=replace(settings.admin, tls=None, token_file=None),
        tracing=None,
    )


def _shows_secrets(plain: Any) -> bool:
    if isinstance(plain, dict):
        shown = any(plain.get(key) not in (None, "***") for key in ("private_key", "token"))
        return shown or any(_shows_secrets(value) for value in plain.values())
    return isinstance(plain, list) and any(_shows_secrets(value) for value in plain)


# -- what is made up ---------------------------------------------------------------------------


def make(chance: Random) -> bytes:
    """Make up a file: a sound one of which some lines are spoilt, or a few words of YAML."""
    if chance.random() < 0.3:
        some = [chance.choice((*VALUES, *MARKS)) for _ in range(chance.randrange(1, 12))]
        return chance.choice(("", " ", "\n")).join(some).encode()
    octets = chance.choice(examples()).encode()
    for _ in range(chance.randrange(5)):
        octets = spoil(chance, octets)
    return octets


def spoil(chance: Random, octets: bytes) -> bytes:
    """Spoil some lines of a file, or some octets."""
    if chance.random() < 0.1:
        at = chance.randrange(len(octets) + 1)
        return octets[:at] + chance.randbytes(chance.randrange(4)) + octets[at:]
    lines = octets.decode("utf-8", "replace").splitlines() or [""]
    return "\n".join(chance.choice(_SPOILERS)(chance, lines)).encode()


def examples() -> list[str]:
    """Return files that are sound."""
    files = sorted((ROOT / "config").glob("*.yaml"))
    commented = [file.read_text(encoding="utf-8") for file in files]
    return [_LITTLE, _LITTLE, ROUTES, _EVERYTHING, *commented]


def all_keys() -> list[str]:
    """Return the keys that may stand in a file."""
    return sorted({key for kind in Section.__subclasses__() for key in kind.__struct_fields__})


def _another_value(chance: Random, lines: list[str]) -> list[str]:
    at = chance.randrange(len(lines))
    head, colon, _ = lines[at].partition(":")
    return [*lines[:at], f"{head}{colon} {chance.choice(VALUES)}", *lines[at + 1 :]]


def _another_key(chance: Random, lines: list[str]) -> list[str]:
    at = chance.randrange(len(lines))
    head, colon, tail = lines[at].partition(":")
    indent = head[: len(head) - len(head.lstrip(" -"))]
    return [*lines[:at], f"{indent}{chance.choice(all_keys())}{colon}{tail}", *lines[at + 1 :]]


def _another_indent(chance: Random, lines: list[str]) -> list[str]:
    at = chance.randrange(len(lines))
    indent = chance.choice(("", " ", "  ", "    ", "  - ", "- ", "\t"))
    return [*lines[:at], indent + lines[at].lstrip(), *lines[at + 1 :]]


def _left_out(chance: Random, lines: list[str]) -> list[str]:
    at = chance.randrange(len(lines))
    return lines[:at] + lines[at + chance.choice((1, 1, 1, 5)) :]


def _twice(chance: Random, lines: list[str]) -> list[str]:
    start = chance.randrange(len(lines))
    some = lines[start : start + chance.choice((1, 1, 3, 8))]
    at = chance.randrange(len(lines) + 1)
    return lines[:at] + some * chance.choice((1, 1, 1, 200)) + lines[at:]


def _nested(chance: Random, lines: list[str]) -> list[str]:
    """Nest a value deeply, or let aliases unfold to very much."""
    depth = chance.choice((3, 30, 300, 3000))
    opening, closing = chance.choice((("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")))
    bomb = ["a0: &a0 [x, x]"]
    bomb += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    nest = [opening * depth + "x" + closing * depth]
    at = chance.randrange(len(lines) + 1)
    return [*lines[:at], *chance.choice((nest, bomb)), *lines[at:]]


_SPOILERS: Final[tuple[Callable[[Random, list[str]], list[str]], ...]] = (
    _another_value,
    _another_value,
    _another_key,
    _another_indent,
    _left_out,
    _twice,
    _nested,
)
