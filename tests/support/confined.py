"""Run a command within what a unit of systemd lets it do: `confined.py UNIT COMMAND ...`.

The system calls, the address families and the memory that `SystemCallFilter=`,
`RestrictAddressFamilies=` and `MemoryDenyWriteExecute=` leave to it, by seccomp, as
systemd does it. What those lines mean is asked of systemd-analyze.
"""

import ctypes
import errno
import mmap
import os
import re
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | errno.EPERM
_MASKED = 7  # how an argument is compared
_ALL_BITS = 2**64 - 1
_LAST_FAMILY = 46


class Filter:
    """A seccomp filter: what it says of some calls, and of all others."""

    def __init__(self, library: Any, otherwise: int) -> None:
        self._library = library
        library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(library.seccomp_init(otherwise))

    def add(self, action: int, name: str, place: int = 0, mask: int = 0, value: int = 0) -> None:
        """Do this with calls of `name` whose argument at `place` has this value under a mask.

        Those this machine does not know are passed over.
        """
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            compared = struct.pack("@IiQQ", place, _MASKED, mask, value)
            self._library.seccomp_rule_add_array(
                self._context, action, number, 1 if mask else 0, compared
            )

    def load(self) -> None:
        """Bind ourselves, and whatever we become."""
        assert self._library.seccomp_load(self._context) == 0


def calls(unit: str) -> set[str]:
    """Return the system calls a unit leaves to its processes."""
    left: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        named = {call for word in line.lstrip("~").split() for call in _expand(word)}
        left = left - named if line.startswith("~") else left | named
    return left | _expand("@default")


def _expand(word: str) -> set[str]:
    if not word.startswith("@"):
        return {word}
    told = subprocess.run(
        ["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True
    )
    listed = [line.strip() for line in told.stdout.splitlines()[1:]]
    return {call for each in listed if each and each[0] != "#" for call in _expand(each)}


def families(unit: str) -> set[int]:
    """Return the address families a unit leaves to its processes."""
    (line,) = re.findall(r"^RestrictAddressFamilies=(.*)$", unit, re.MULTILINE)
    return {getattr(socket, name) for name in line.split()}


def confine(unit: str) -> None:
    """Leave to this process what the unit does."""
    library = ctypes.CDLL("libseccomp.so.2")
    denied = Filter(library, _ALLOW)
    for family in set(range(_LAST_FAMILY)) - families(unit):
        denied.add(_REFUSE, "socket", 0, _ALL_BITS, family)
    if "MemoryDenyWriteExecute=yes" in unit:
        both = mmap.PROT_WRITE | mmap.PROT_EXEC
        denied.add(_REFUSE, "mmap", 2, both, both)
        denied.add(_REFUSE, "mprotect", 2, mmap.PROT_EXEC, mmap.PROT_EXEC)
        denied.add(_REFUSE, "pkey_mprotect", 2, mmap.PROT_EXEC, mmap.PROT_EXEC)
    allowed = Filter(library, _REFUSE)
    for call in sorted(calls(unit) | {"seccomp", "prctl"}):
        allowed.add(_ALLOW, call)
    denied.load()
    allowed.load()


if __name__ == "__main__":
    confine(Path(sys.argv[1]).read_text(encoding="utf-8"))
    os.execvp(sys.argv[2], sys.argv[2:])
