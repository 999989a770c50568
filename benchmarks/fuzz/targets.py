"""Targets: all there are, by name."""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final

from benchmarks.fuzz import case, codecs, compression, conversation, dictionary, settings, words
from benchmarks.fuzz.case import CODECS, Case
from benchmarks.fuzz.hostile import CLIENT, SERVER, script
from benchmarks.fuzz.target import Target
from trailproxy.wire import Role


def _talk(*speakers: str) -> Callable[[Random], bytes]:
    """Return what makes up conversations in which these take part."""

    def make(chance: Random) -> bytes:
        return Case(chance.choice(CODECS), tuple(script(chance, speakers))).octets

    return make


_KIB: Final = 1024

_ALL: Final = (
    Target(
        name="proxy",
        play=conversation.play,
        make=_talk(CLIENT, SERVER),
        spoil=case.spoil,
        words=dictionary.WIRE,
        longest=8 * _KIB,
        share=3,
    ),
    Target(
        name="server",
        play=partial(codecs.play, Role.SERVER),
        make=_talk(CLIENT),
        spoil=case.spoil,
        words=dictionary.WIRE,
        longest=8 * _KIB,
    ),
    Target(
        name="client",
        play=partial(codecs.play, Role.CLIENT),
        make=_talk(SERVER),
        spoil=case.spoil,
        words=dictionary.WIRE,
        longest=8 * _KIB,
    ),
    Target(
        name="hpack",
        play=compression.play,
        make=compression.make,
        words=dictionary.HPACK,
        longest=4 * _KIB,
    ),
    Target(
        name="settings",
        play=settings.play,
        make=settings.make,
        spoil=settings.spoil,
        words=dictionary.YAML,
        longest=2 * _KIB,
        packages=("trailproxy", "yaml"),
    ),
    Target(
        name="words",
        play=words.play,
        make=words.make,
        words=dictionary.WORDS,
        longest=4 * _KIB,
    ),
)

TARGETS: Final = {target.name: target for target in _ALL}
