"""Configurations of any octets: what is neither a configuration nor a good refusal is found."""

from random import Random

import msgspec
import pytest

from benchmarks.fuzz import settings
from benchmarks.fuzz.target import judge
from benchmarks.fuzz.targets import TARGETS
from trailproxy.ops.problem import Problem
from trailproxy.ops.settings import SettingsError, parse

SOUND = settings.examples()[0].encode()
ACCEPTED = parse(SOUND.decode(), "sound", {"NAME": "app"})


def told(octets=b"\na: 1\n"):
    return judge(TARGETS["settings"], octets)


def test_examples_are_sound_and_all_keys_are_known():
    for text in settings.examples():
        parse(text, "example", {"NAME": "app"})
        assert not told(text.encode())
    assert {"listeners", "bind", "per_try_timeout", "server_name"} <= set(settings.all_keys())


@pytest.mark.parametrize(
    "octets", [b"", b"\xff", b"a: [", b"listeners: ${UNSET}", b"\0", b"&a [*a]"]
)
def test_what_is_refused_is_nothing_wrong(octets):
    assert not told(octets)


def test_lines_are_spoilt_in_many_ways():
    assert len({settings.spoil(Random(seed), SOUND) for seed in range(200)}) > 100


@pytest.mark.parametrize(
    ("problem", "wrong"),
    [
        (Problem("a", 1, ""), "does not say what"),
        (Problem("a", 4, "is wrong"), "there is no line 4"),
        (Problem("a", 0, "is wrong"), "a place without a line"),
        (Problem("a..b c", 1, "is wrong"), "no path"),
        (Problem("a", 1, "is\nwrong"), "bend the terminal"),
        (Problem("a", 1, "\ud800"), "UnicodeEncodeError"),
    ],
)
def test_a_refusal_that_does_not_help_is_found(monkeypatch, problem, wrong):
    def refuse(path, environ):
        raise SettingsError((problem,), str(path))

    monkeypatch.setattr(settings, "load", refuse)
    assert wrong in told()


def test_other_exceptions_are_found(monkeypatch):
    monkeypatch.setattr(settings, "load", lambda path, environ: environ["nothing"])
    assert "KeyError: 'nothing'" in told()


@pytest.mark.parametrize(("name", "wrong"), [("another", "another file"), ("", "nothing is wrong")])
def test_a_refusal_of_nothing_or_of_another_file_is_found(monkeypatch, name, wrong):
    def refuse(path, environ):
        raise SettingsError((), name or str(path))

    monkeypatch.setattr(settings, "load", refuse)
    assert wrong in told()


def test_what_is_accepted_and_cannot_be_used_is_found(monkeypatch):
    unsafe = msgspec.structs.replace(ACCEPTED, codec="h3")
    monkeypatch.setattr(settings, "load", lambda path, environ: unsafe)
    assert "Invalid enum value 'h3'" in told()


def test_secrets_that_are_shown_are_found(monkeypatch):
    shown = {"listeners": [{"tls": {"private_key": "/key"}}]}
    monkeypatch.setattr(settings, "masked", lambda plain: shown)
    assert "a secret is shown" in told(SOUND)
