"""The command `trailproxy replay`: what it does with its arguments, and what it prints."""

import argparse
import asyncio
import sys
from dataclasses import replace
from typing import Final

from trailproxy.net.tls import TLSError
from trailproxy.probe.client import NoHttp2Error, Target, UnreachableError, Way
from trailproxy.probe.peer import GoneError
from trailproxy.replay.archive import ArchiveError, Captured, read
from trailproxy.replay.outcome import CANCELLED, Outcome
from trailproxy.replay.player import Player

_SAME: Final = 0
_DIFFERENT: Final = 1
_USAGE: Final = 2
_NOBODY: Final = (UnreachableError, NoHttp2Error, GoneError)


def run(arguments: argparse.Namespace) -> int:
    """Send everything again; return the exit status."""
    try:
        captured = read(arguments.file)
        return asyncio.run(_replay(captured, arguments))
    except (ArchiveError, ValueError, TLSError, OSError, *_NOBODY) as error:
        sys.stderr.write(f"trailproxy replay: {error}\n")
        return _USAGE
    except KeyboardInterrupt:
        return _USAGE


async def _replay(captured: list[Captured], arguments: argparse.Namespace) -> int:
    asked = Target.of(arguments.against)
    way = Way.to("replay", asked, asked, ca=arguments.ca, insecure=arguments.insecure)
    named = asked if arguments.authority is None else replace(asked, authority=arguments.authority)
    player = Player(way, named, arguments.timeout)
    different = 0
    try:
        for number, each in enumerate(captured, 1):
            now = await player.play(each)
            different += bool(each.outcome.differences(now))
            sys.stdout.write(_told(number, each, now))
            sys.stdout.flush()
    finally:
        await player.close()
    count = len(captured)
    differ = f"{different} differ" if different != 1 else "1 differs"
    sys.stdout.write(f"{count} request{'s' * (count != 1)}, {differ}\n")
    return _DIFFERENT if different else _SAME


def _told(number: int, captured: Captured, now: Outcome) -> str:
    differences = captured.outcome.differences(now)
    lines = [f"{number}  {ascii(f'{captured.method} {captured.path}')[1:-1]}"]
    if captured.left_out:
        lines.append(f"   left out  {ascii(', '.join(captured.left_out))[1:-1]}")
    lines.append(f"   captured  {captured.outcome.tell()}")
    if captured.outcome.ending == CANCELLED:
        lines.append(f"   now       {now.tell()}  (not compared: the client broke it off)")
    else:
        verdict = f"differs in {', '.join(differences)}" if differences else "the same"
        lines.append(f"   now       {now.tell()}  ({verdict})")
    return "\n".join(lines) + "\n"
