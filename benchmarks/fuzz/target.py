"""Target: what an input is for.

It takes any octets whatever, and raises when a law is broken: an assertion, or whatever
should not have escaped. The same octets do the same each time, as far as the process
forgets: what all connections share, the pools of fields, is warm the second time.
"""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

SLOW_S: Final = 20.0  # of CPU, for one input; most take some milliseconds


@dataclass(frozen=True, kw_only=True)
class Target:
    """Something that takes octets of strangers."""

    name: str
    play: Callable[[bytes], None]
    make: Callable[[Random], bytes]  # an input that makes sense, or nearly
    #: Bends an input where it has a structure; None where octet by octet is as good.
    spoil: Callable[[Random, bytes], bytes] | None = None
    words: tuple[bytes, ...]  # that its inputs are made of
    longest: int  # octets of an input, where they are bent
    packages: tuple[str, ...] = ("trailproxy",)  # whose branches count, where they are guided
    share: int = 1  # of the time, beside the others


def judge(target: Target, octets: bytes) -> str:
    """Play an input; return what is wrong, or an empty string."""
    began = time.process_time()
    try:
        target.play(octets)
    except Exception:  # noqa: BLE001  whatever escapes is the finding
        return traceback.format_exc()
    spent = time.process_time() - began
    return f"slow: {spent:.1f} s of CPU" if spent > SLOW_S else ""
