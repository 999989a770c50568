"""Instrumented: the process that the guided engine runs, one for each target.

What it tests is loaded from source, and tells libFuzzer which branches were taken. It ends
when libFuzzer ends it: time is up, or something was found.
"""

import sys
from random import Random

import atheris

from benchmarks.fuzz.target import judge


def main(argv: list[str]) -> None:
    """Bend inputs: argv has a target, the packages that are seen into, and libFuzzer's options."""
    name, packages, *options = argv[1:]
    with atheris.instrument_imports(include=packages.split(",")):
        from benchmarks.fuzz.targets import TARGETS  # noqa: PLC0415  loaded to be seen into
    target = TARGETS[name]

    def play(octets: bytes) -> None:
        wrong = judge(target, octets)
        if wrong:
            print(wrong)
            raise AssertionError

    def bend(octets: bytes, most: int, seed: int) -> bytes:
        chance = Random(seed)
        if target.spoil is None or chance.random() < 0.5:
            bent: bytes = atheris.Mutate(octets, most)
            return bent
        return target.spoil(chance, octets)[:most]

    atheris.Setup([argv[0], *options], play, custom_mutator=bend)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
