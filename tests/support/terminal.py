"""A terminal: one shell, whose words are read behind each command.

Whatever was begun in it ends with it, in the background or not.
"""

import os
import re
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PATIENCE_S: Final = 20.0
_SHELL: Final = ("bash", "--noprofile", "--norc")
_MARK: Final = "--- over:"
_OVER: Final = re.compile(rf"\n{_MARK} (\d+)\n")  # a background job may say something behind it


class Terminal:
    """One shell in a folder."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._shell = subprocess.Popen(
            _SHELL,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._stdin, self._stdout = self._shell.stdin, self._shell.stdout
        os.set_blocking(self._stdout.fileno(), False)
        self._status = 0

    def run(self, command: str, patience_s: float = PATIENCE_S) -> tuple[int, str]:
        """Run a command; return its status, and what was said until it was over.

        Raises:
            AssertionError: it was not over in time, or the shell ended.
        """
        # a program that reads must not read the next commands; $? is that of the last one
        line = (
            f"(exit {self._status}); {{ eval {shlex.quote(command)}\n}} </dev/null; "
            f"printf '\\n{_MARK} %s\\n' $?\n"
        )
        self._stdin.write(line.encode())
        self._stdin.flush()
        told = self._read(command, time.monotonic() + patience_s)
        mark = _OVER.search(told)
        assert mark is not None
        self._status = int(mark[1])
        return self._status, told[: mark.start()] + told[mark.end() :]

    def _read(self, command: str, deadline: float) -> str:
        told = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            while _OVER.search(told.decode(errors="replace")) is None:
                ready = selector.select(max(deadline - time.monotonic(), 0))
                assert ready, f"not over in time: {command}\n{told.decode(errors='replace')}"
                more = self._stdout.read()
                assert more != b"", f"the shell ended: {command}\n{told.decode(errors='replace')}"
                told += more or b""
        return told.decode(errors="replace")

    def close(self) -> None:
        """End what was begun here."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._shell.pid, number)
            if number == signal.SIGTERM:
                with suppress(subprocess.TimeoutExpired):
                    self._shell.wait(1)
        self._shell.wait()
        self._stdin.close()
        self._stdout.close()


@contextmanager
def terminal(folder: Path, environment: Mapping[str, str]) -> Iterator[Terminal]:
    """Open one for as long as the block lasts."""
    opened = Terminal(folder, environment)
    try:
        yield opened
    finally:
        opened.close()
