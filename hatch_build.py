"""The build: compile the hot rooms with mypyc, or leave them as they are.

One source, two builds. A wheel is compiled where there is a C compiler, and pure
Python where there is none or TRAILPROXY_PURE=1 asks for it; both run the same.
The same source makes the same octets, in whatever folder it is built.
`make build` runs this file to compile in place.
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
GROUP = "trailproxy"  # the shared library is called after it

#: What is compiled. Classes that somebody patches or subclasses stay out, and so do
#: modules that nothing calls per frame or per request.
COMPILED = (
    "core/books",
    "core/clock",
    "core/connection",
    "core/digest",
    "core/exchange",
    "core/goodbye",
    "core/grpc",
    "core/inspection",
    "core/lane",
    "core/load_report",
    "core/matching",
    "core/matrix",
    "core/message",
    "core/messages",
    "core/parking",
    "core/proxy",
    "core/record",
    "core/routing",
    "core/rules",
    "core/stream",
    "core/summary",
    "core/target",
    "core/timing",
    "core/trailers",
    "core/turns",
    "core/upstream",
    "core/watch",
    "net/balance",
    "net/clock",
    "net/connection",
    "net/endpoint",
    "net/origin",
    "net/round",
    "net/weights",
    "ops/access_line",
    "ops/access_log",
    "ops/counting",
    "ops/grpc_meters",
    "ops/meters",
    "wire/authority",
    "wire/codec",
    "wire/control",
    "wire/events",
    "wire/field",
    "wire/fields",
    "wire/flood",
    "wire/frames",
    "wire/hpack",
    "wire/hpack_table",
    "wire/huffman",
    "wire/inbound",
    "wire/ledger",
    "wire/native",
    "wire/standing",
    "wire/streams",
    "wire/table",
)


class CannotCompileError(Exception):
    """There is no compiled build here; the text says why."""


class MypycHook(BuildHookInterface):
    """Puts the compiled modules into the wheel, beside their sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, unless this is an editable install or pure Python is asked for."""
        if version == "editable" or os.environ.get("TRAILPROXY_PURE") == "1":
            return
        try:
            built = compile_modules(Path(self.directory).parent / "build" / "wheel")
        except CannotCompileError as error:
            self.app.display_warning(f"trailproxy is pure Python here, and slower: {error}")
            return
        build_data["force_include"].update(built)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


def compile_modules(work: Path) -> dict[str, str]:
    """Compile COMPILED below `work`; return each file that was made, and its place in a wheel.

    Raises:
        CannotCompileError: the compiler, or what drives it, is missing or has failed.
    """
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    if shutil.which(compiler.split()[0]) is None:
        raise CannotCompileError(f"there is no C compiler called {compiler.split()[0]}")
    try:  # a pure wheel is built without any of these
        import mypyc  # noqa: PLC0415
        from mypyc.build import mypycify  # noqa: PLC0415
        from setuptools import Distribution  # noqa: PLC0415
        from setuptools.command.build_ext import build_ext  # noqa: PLC0415
    except ImportError as error:
        raise CannotCompileError(f"there is no {error.name}") from error
    # what was compiled from modules that are not in COMPILED any more must not linger
    shutil.rmtree(work, ignore_errors=True)
    # our dependencies are not there when a wheel is built alone, and `make types` is strict
    # about all of it
    options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]
    sources = [*options, *(f"trailproxy/{module}.py" for module in COMPILED)]
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        extensions = mypycify(
            sources, opt_level="3", debug_level="0", target_dir=str(work / "c"), group_name=GROUP
        )
        for extension in extensions:
            extension.extra_compile_args += nameless(work, Path(mypyc.__file__).parent)
        command = builder(build_ext, Distribution({"name": GROUP, "ext_modules": extensions}))
        command.build_lib, command.build_temp = str(work / "lib"), str(work / "temp")
        command.ensure_finalized()
        command.run()
    except (Exception, SystemExit) as error:  # whatever a compiler and its driver may raise
        raise CannotCompileError(f"compiling failed: {error}") from error
    finally:
        os.chdir(before)
    files = sorted((work / "lib").rglob("*.*"))
    return {str(file): str(file.relative_to(work / "lib")) for file in files}


def nameless(work: Path, mypyc: Path) -> list[str]:
    """Return what keeps the folders of this machine out of the octets.

    Messages of mypyc's C name the file they are in, and so may the headers of Python.
    """
    if sys.platform == "win32":
        return []
    headers = sysconfig.get_path("include")
    places = {str(ROOT): ".", str(work): "c", str(mypyc): "mypyc", headers: "python"}
    # one may lie in another: what is named last is looked for first
    return [f"-ffile-prefix-map={each}={places[each]}" for each in sorted(places, key=len)]


def builder(base: type[Any], distribution: Any) -> Any:
    """Return the command that compiles, and looks for libraries where the system says.

    Pythons that were built at home ask the linker to write their own folder into every
    module. It is not there on another machine, or is somebody else's.
    """

    class Builder(base):  # type: ignore[misc]  # it is imported where it is there
        def build_extensions(self) -> None:
            linker = self.compiler.linker_so
            self.compiler.linker_so = [word for word in linker if "-rpath" not in word]
            super().build_extensions()

    return Builder(distribution)


def clean() -> None:
    """Remove what was compiled in place."""
    for pattern in ("*__mypyc.*", "trailproxy/**/*.so", "trailproxy/**/*.pyd"):
        for file in ROOT.glob(pattern):
            file.unlink()


def main() -> int:
    """Compile in place."""
    clean()
    try:
        built = compile_modules(ROOT / "build" / "in-place")
    except CannotCompileError as error:
        sys.stderr.write(f"not compiled: {error}\n")
        return 1
    for file, place in built.items():
        shutil.copy2(file, ROOT / place)
    sys.stdout.write(f"compiled {len(COMPILED)} modules in place\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
