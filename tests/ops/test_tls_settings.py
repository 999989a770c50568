"""What is said of certificates fits together, and what is said of secrets stays unsaid."""

import json

import pytest

from trailproxy.ops.settings import Settings, SettingsError, masked, parse
from trailproxy.watch import certificate_files

TEXT = """\
listeners:
  - {{name: main, bind: "0.0.0.0:8080"{0}}}
upstreams: [{{name: app, endpoints: ["127.0.0.1:9000"]}}]
routes: [{{name: all, match: {{}}, upstream: app}}]
"""
PAIR = "certificate: a.crt, private_key: a.key"
ASKING = f"{PAIR}, client_ca: ca.crt"


def listening(keys: str) -> Settings:
    return parse(TEXT.format(f", {keys}"), "t.yaml", {})


def refusal(keys: str) -> str:
    """Return what an operator reads, behind the place of the listener."""
    with pytest.raises(SettingsError) as refused:
        listening(keys)
    return str(refused.value).removeprefix("t.yaml:2: listeners[0].")


def test_a_listener_has_one_certificate_and_asks_for_none_by_default() -> None:
    settings = listening(f"tls: {{{PAIR}}}").listeners[0]
    assert settings.tls is not None
    assert settings.tls.pairs == (("a.crt", "a.key"),)
    assert (settings.tls.client_ca, settings.tls.client_auth) == (None, "require")
    assert (settings.tls.client_names, settings.forward_client_cert) == (None, "sanitize")


def test_all_files_of_a_listener_are_watched() -> None:
    more = "[{certificate: b.crt, private_key: b.key}, {certificate: c.crt, private_key: c.key}]"
    settings = listening(f"tls: {{{ASKING}, certificates: {more}}}")
    assert settings.listeners[0].tls is not None
    assert settings.listeners[0].tls.pairs[1:] == (("b.crt", "b.key"), ("c.crt", "c.key"))
    assert set(certificate_files(settings)) == {
        *("a.crt", "a.key", "b.crt", "b.key", "c.crt", "c.key", "ca.crt")
    }


def test_private_keys_are_masked_wherever_they_stand() -> None:
    settings = listening(f"tls: {{{PAIR}, certificates: [{{{PAIR}}}]}}")
    assert "a.key" not in json.dumps(masked(settings))
    assert "a.crt" in json.dumps(masked(settings))


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        (
            f"tls: {{{PAIR}, client_auth: optional}}",
            "tls.client_auth: is of no use without client_ca",
        ),
        (f"tls: {{{PAIR}, client_names: [a]}}", "tls.client_names: is of no use without client_ca"),
        ("forward_client_cert: set", "forward_client_cert: is of no use without tls.client_ca"),
        (
            f"tls: {{{PAIR}}}, forward_client_cert: append",
            "forward_client_cert: is of no use without tls.client_ca",
        ),
    ],
)
def test_what_asks_for_a_clients_certificate_needs_who_signs_it(keys: str, why: str) -> None:
    assert refusal(keys) == why


@pytest.mark.parametrize(
    "keys",
    [
        "forward_client_cert: forward",
        f"tls: {{{PAIR}}}, forward_client_cert: forward",
        f"tls: {{{ASKING}, client_auth: optional}}, forward_client_cert: set",
        f"tls: {{{ASKING}, client_names: ['*.a.example', 'spiffe://td/ns/*', 192.0.2.1, a@b]}}",
    ],
)
def test_what_fits_together_is_taken(keys: str) -> None:
    assert listening(keys).listeners


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        (f"tls: {{{ASKING}, client_names: []}}", "tls.client_names: must have at least one entry"),
        (
            f"tls: {{{ASKING}, client_names: [a, 'b*']}}",
            'tls.client_names[1]: "b*": * stands before a DNS name, as in *.example.com, '
            "or at the end of a URI",
        ),
        (
            f"tls: {{{ASKING}, client_names: ['a b']}}",
            'tls.client_names[0]: "a b": is no DNS name, URI, e-mail address or IP address',
        ),
        (
            f"tls: {{{ASKING}, client_auth: required}}",
            'tls.client_auth: must be require or optional, not "required" '
            '(did you mean "require"?)',
        ),
        (
            f"tls: {{{PAIR}, certificates: [{{certificate: b.crt}}]}}",
            "tls.certificates[0].private_key: is missing; it must be the path of a file",
        ),
    ],
)
def test_what_is_wrong_is_told_by_its_place(keys: str, why: str) -> None:
    assert refusal(keys) == why


# -- the admin page ------------------------------------------------------------------------

TOKEN = "s3cret-t0ken"


def administered(keys: str, **environ: str) -> Settings:
    return parse(TEXT.format("") + f"admin: {{{keys}}}\n", "t.yaml", environ)


def test_the_admin_page_asks_for_nothing_by_default() -> None:
    settings = listening("forward_client_cert: sanitize").admin
    assert (settings.token, settings.token_file, settings.tls) == (None, None, None)


def test_a_token_comes_from_the_environment_and_is_masked() -> None:
    settings = administered("token: '${ADMIN_TOKEN}'", ADMIN_TOKEN=TOKEN)
    assert settings.admin.token == TOKEN
    assert masked(settings)["admin"]["token"] == "***"
    assert TOKEN not in json.dumps(masked(settings))
    assert masked(listening("forward_client_cert: sanitize"))["admin"]["token"] is None


def test_all_files_of_the_admin_page_are_watched() -> None:
    settings = administered(f"token_file: t, tls: {{{ASKING}}}")
    assert set(certificate_files(settings)) == {"t", "a.crt", "a.key", "ca.crt"}


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ("token: ''", "token: must be text of visible ASCII characters without blanks"),
        (
            f"token: {TOKEN} {TOKEN}",
            "token: must be text of visible ASCII characters without blanks",
        ),
        (
            "token: 123456",
            "token: must be text of visible ASCII characters without blanks (put it in quotes)",
        ),
        (
            f"token: [{TOKEN}]",
            "token: must be text of visible ASCII characters without blanks, not a list",
        ),
        (f"token: {TOKEN}, token_file: x", "token_file: token says already what must be told"),
        (f"tls: {{{PAIR}, client_names: [a]}}", "tls.client_names: unknown key"),
    ],
)
def test_what_is_wrong_with_a_token_does_not_repeat_it(keys: str, why: str) -> None:
    with pytest.raises(SettingsError) as refused:
        administered(keys)
    told = str(refused.value)
    assert told.startswith(f"t.yaml:5: admin.{why}")
    assert TOKEN not in told
    assert "123456" not in told
