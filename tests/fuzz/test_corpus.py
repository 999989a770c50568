"""What a guided run begins with, and what it leaves."""

import os
import re

from benchmarks.fuzz import corpus
from benchmarks.fuzz.dictionary import as_file
from benchmarks.fuzz.finding import keep
from benchmarks.fuzz.targets import TARGETS

WORDS = TARGETS["words"]


def begin(tmp_path, seconds=2.0):
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    return corpus.begin(WORDS, seconds, 1, work, tmp_path)


def leave(tmp_path, *names, age=0):
    new = tmp_path / f"new-{age}"
    new.mkdir()
    for name in names:
        (new / name).write_bytes(name.encode())
    assert corpus.take_up(WORDS, new, tmp_path) == len(names)
    for name in names:
        os.utime(tmp_path / "corpus" / "words" / name, (1e9 - age, 1e9 - age))


def test_the_first_run_begins_with_what_is_made_up(tmp_path):
    files = begin(tmp_path)
    assert len(files) == 15
    assert all(0 < file.stat().st_size <= WORDS.longest for file in files)
    before = [file.read_bytes() for file in files]
    assert [file.read_bytes() for file in begin(tmp_path)] == before


def test_the_next_one_takes_up_what_was_found_and_what_was_new(tmp_path):
    keep("words", b"finding", tmp_path)
    keep("settings", b"another's", tmp_path)
    leave(tmp_path, *(f"old-{number}" for number in range(20)), age=9)
    leave(tmp_path, "new")
    octets = [file.read_bytes() for file in begin(tmp_path)]
    assert len(octets) == 30
    assert octets[0] == b"finding"
    assert octets[16] == b"new"
    assert octets[17].startswith(b"old-")
    assert len(begin(tmp_path, seconds=0.1)) == 2


def test_only_the_newest_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "_MOST", 3)
    leave(tmp_path, "a", "b", age=9)
    leave(tmp_path, "c", "d")
    assert len(list((tmp_path / "corpus" / "words").iterdir())) == 3


def test_dictionaries_are_written_as_libfuzzer_reads_them():
    for target in TARGETS.values():
        lines = as_file(target.words).splitlines()
        assert len(lines) > 50
        assert len(set(lines)) == len(lines)
        assert all(re.fullmatch(r'"(\\x[0-9a-f]{2}){1,100}"', line) for line in lines)
    assert as_file((b"a\n", b"", b"a\n")) == '"\\x61\\x0a"\n'
