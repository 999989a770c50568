"""A configuration is read into values, or refused with the place, the line and the reason."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailproxy.ops import checks
from trailproxy.ops.settings import (
    Duration,
    Limits,
    ListenerSettings,
    Match,
    Problem,
    RouteSettings,
    Settings,
    SettingsError,
    Size,
    Target,
    Timeouts,
    UpstreamSettings,
    load,
    masked,
    parse,
    schema,
)

LISTENERS = """\
listeners:
  - {name: main, bind: "0.0.0.0:8080"}
"""
UPSTREAMS = """\
upstreams:
  - {name: app, endpoints: ["127.0.0.1:9000"]}
"""
ROUTES = """\
routes:
  - {name: all, match: {}, upstream: app}
"""
WHOLE = LISTENERS + UPSTREAMS + ROUTES  # six lines; what a test adds begins on the seventh


def good(text, **environ):
    return parse(text, "t.yaml", environ)


def refusal(text, **environ):
    """Return what an operator reads."""
    with pytest.raises(SettingsError) as refused:
        parse(text, "t.yaml", environ)
    return str(refused.value)


# -- what is read ------------------------------------------------------------------------


def test_the_least_that_is_enough_has_the_documented_defaults():
    settings = good(WHOLE)
    (listener,), (upstream,), (route,) = settings.listeners, settings.upstreams, settings.routes
    assert (listener.name, listener.bind, listener.tls) == ("main", "0.0.0.0:8080", None)
    assert (upstream.load_balancing, upstream.tls) == ("least_request", None)
    assert (upstream.max_connections, upstream.queue_limit) == (8, 4096)
    assert (upstream.connect_timeout, upstream.queue_timeout, upstream.resolve_interval) == (
        5,
        10,
        30,
    )
    assert (route.match, route.upstream) == (Match(authority=None, path_prefix=None), "app")
    assert (route.timeouts.response_head, route.timeouts.idle, route.timeouts.total) == (15, 60, 0)
    assert (settings.admin.bind, settings.codec, settings.workers) == (
        "127.0.0.1:9901",
        "native",
        1,
    )
    assert (settings.access_log.path, settings.drain_timeout) == ("stdout", 30)
    assert settings.dot_segments == "refuse"
    assert settings.limits == Limits(
        max_connections=10_000,
        max_connections_per_address=1000,
        max_concurrent_streams=250,
        stream_window=Size(262_144),
        connection_window=Size(4_194_304),
        max_header_list=Size(65_536),
        max_header_fields=512,
        head_timeout=Duration(10),
        idle_timeout=Duration(3600),
        min_rate=Size(240),
    )


def test_durations_and_sizes_are_numbers_of_their_own_type():
    settings = good(WHOLE + "drain_timeout: 250ms\nlimits: {stream_window: 1MiB}\n")
    assert settings.drain_timeout == 0.25
    assert isinstance(settings.drain_timeout, Duration)
    assert settings.limits.stream_window == 1_048_576
    assert isinstance(settings.limits.stream_window, Size)


def test_a_route_may_share_its_requests_among_upstreams():
    settings = good(
        LISTENERS
        + 'upstreams: [{name: a, endpoints: ["a:1"]}, {name: b, endpoints: ["b:1", "unix:/b"]}]\n'
        + "routes: [{name: r, match: {}, upstream: [{name: a, weight: 9}, {name: b}]}]\n"
    )
    assert settings.routes[0].upstream == (Target(name="a", weight=9), Target(name="b", weight=1))


def test_the_same_text_gives_equal_settings():
    assert good(WHOLE) == good("# a comment\n" + WHOLE)
    assert hash(good(WHOLE)) == hash(good(WHOLE))
    assert Timeouts() != Timeouts(idle=Duration(1))


def test_off_is_text_as_in_yaml_1_2():
    assert good(WHOLE + "access_log: {path: off}\n").access_log.path == "off"


def test_aliases_are_followed():
    text = LISTENERS + "upstreams:\n- {name: app, endpoints: &same ['a:1']}\n"
    settings = good(text + "- {name: b, endpoints: *same}\n" + ROUTES)
    assert settings.upstreams[1].endpoints == ("a:1",)


def test_port_0_takes_any_free_one_for_listeners_and_the_admin_page():
    text = WHOLE.replace("0.0.0.0:8080", "127.0.0.1:0")
    assert good(text + 'admin: {bind: "127.0.0.1:0"}\n').admin.bind == "127.0.0.1:0"


def test_listeners_of_both_ip_versions_may_share_a_port():
    binds = "listeners:\n- {name: a, bind: '0.0.0.0:80'}\n- {name: b, bind: '[::]:80'}\n"
    assert len(good(binds + UPSTREAMS + ROUTES).listeners) == 2


# -- the environment ---------------------------------------------------------------------


def test_a_variable_is_replaced_before_its_value_gets_a_type():
    text = WHOLE + "limits:\n  max_concurrent_streams: ${STREAMS}\n"
    assert good(text, STREAMS="7").limits.max_concurrent_streams == 7


def test_a_variable_may_be_a_part_of_a_value():
    text = WHOLE.replace("0.0.0.0:8080", "${HOST:-0.0.0.0}:${PORT:-80}")
    assert good(text, PORT="81").listeners[0].bind == "0.0.0.0:81"


def test_a_default_stands_in_for_a_variable_that_is_set_to_nothing():
    assert good(WHOLE + "drain_timeout: ${DRAIN:-5s}\n", DRAIN="").drain_timeout == 5


def test_a_doubled_dollar_keeps_the_characters():
    text = WHOLE + "access_log: {path: '/log/$${x}/$y'}\n"
    assert good(text).access_log.path == "/log/${x}/$y"


def test_what_a_variable_holds_is_neither_yaml_nor_searched_for_variables():
    text = WHOLE + "access_log:\n  path: ${LOG}\n"
    assert good(text, LOG="/a: ${B} # c").access_log.path == "/a: ${B} # c"


def test_a_variable_that_is_not_set():
    assert refusal(WHOLE + "drain_timeout: ${DRAIN}\n") == (
        "t.yaml:7: drain_timeout: the environment variable DRAIN is not set; "
        "${DRAIN:-default} would give a default"
    )


@pytest.mark.parametrize("value", ["${", "${1}", "${a b}", "${DRAIN", "${DRAIN-5s}"])
def test_what_begins_like_a_variable_and_is_none(value):
    assert refusal(WHOLE + f"drain_timeout: {value}\n", DRAIN="5s") == (
        "t.yaml:7: drain_timeout: ${ begins no variable: write ${NAME} or ${NAME:-default}, "
        "or $${ for the text itself"
    )


def test_a_variable_that_is_not_unicode_text():
    assert refusal(WHOLE + "codec: ${CODEC}\n", CODEC="\udcff") == (
        "t.yaml:7: codec: holds a control character, or what is not Unicode text"
    )


# -- the file ----------------------------------------------------------------------------


def loaded(path):
    with pytest.raises(SettingsError) as refused:
        load(path, {})
    return str(refused.value).removeprefix(str(path))


def test_a_file_is_loaded_with_its_variables(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text("\ufeff" + WHOLE + "drain_timeout: ${DRAIN}\n")
    assert load(path, {"DRAIN": "1m"}).drain_timeout == 60


def test_a_file_that_is_not_there(tmp_path):
    assert loaded(tmp_path / "no.yaml") == (
        ": cannot be read: No such file or directory; docs/configuration.md has one to begin with"
    )


def test_a_folder_is_no_file(tmp_path):
    assert loaded(tmp_path) == ": cannot be read: Is a directory"


def test_a_file_that_is_too_large(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text(WHOLE + "#" * 1024 * 1024)
    assert loaded(path) == ": is larger than 1MiB"


def test_a_file_that_is_not_utf_8(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_bytes(WHOLE.encode() + b"codec: \xff\n")
    assert loaded(path) == ":7: is not UTF-8 text"


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n"])
def test_an_empty_file(text):
    assert refusal(text) == "t.yaml: the file is empty"


@pytest.mark.parametrize("text", ["[listeners]", "listeners", "7"])
def test_what_is_no_mapping(text):
    expected = "t.yaml:2: must be a mapping that begins with a key such as listeners:"
    assert refusal("\n" + text) == expected


# -- YAML --------------------------------------------------------------------------------


def test_a_syntax_error_has_its_line_and_column():
    assert refusal(WHOLE + "admin: bind: x\n") == (
        "t.yaml:7: not valid YAML at column 12: mapping values are not allowed here"
    )


def test_a_tab():
    assert refusal("admin:\n\tbind: x\n") == (
        "t.yaml:2: not valid YAML at column 1: while scanning for the next token, found character "
        "'\\t' that cannot start any token; indent with spaces, not with tabs"
    )


def test_a_variable_without_quotes_inside_brackets():
    assert refusal("admin: {bind: ${ADMIN}}\n", ADMIN="x").endswith(
        "; inside { } or [ ], put a value with ${NAME} in quotes"
    )


def test_an_ipv6_address_without_quotes():
    assert refusal("bind: [::1]:80\n").endswith("; put an IPv6 address in quotes")


def test_a_text_that_ends_too_early():
    assert refusal("admin: 'x\n") == (
        "t.yaml:2: not valid YAML at column 1: "
        "while scanning a quoted scalar, found unexpected end of stream"
    )


def test_a_character_that_yaml_forbids():
    assert refusal("admin:\n  \x01") == 't.yaml:2: not valid YAML: "\\u0001" is not allowed'


def test_two_documents():
    assert refusal("a: 1\n---\nb: 1\n") == (
        "t.yaml:2: not valid YAML at column 1: "
        "expected a single document in the stream, but found another document"
    )


def test_an_alias_to_nothing():
    assert refusal("a: *b\n") == "t.yaml:1: not valid YAML at column 4: found undefined alias 'b'"


def test_an_alias_that_holds_itself():
    assert refusal("a: &a [*a]\n") == (
        "t.yaml:1: a[0][0][0]: nested too deeply; does an alias hold itself?"
    )


def test_lists_in_lists_without_end():
    where = "not valid YAML at column {}: values are nested too deeply"
    assert refusal("- " * 3000) == f"t.yaml:1: {where.format(68)}"
    assert refusal("{a: " * 3000) == f"t.yaml:1: {where.format(134)}"
    assert refusal("[\n" * 3000) == f"t.yaml:34: {where.format(2)}"


@pytest.mark.parametrize(
    "text", ['"\\U00110000": 1', '"\\UFFFFFFFF": 1', "%YAML 1." + "9" * 5000 + "\n---\na: 1"]
)
def test_a_number_that_yaml_cannot_take(text):
    assert refusal("# a comment\n" + text).endswith("found a number that is too large")
    assert refusal("# a comment\n" + text).startswith("t.yaml:2: not valid YAML at column ")


def test_aliases_that_unfold_without_bound():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert refusal("\n".join(lines)) == "t.yaml: more than 50000 values, with aliases"


@pytest.mark.parametrize("tag", ["!!str", "!local"])
def test_a_tag(tag):
    assert refusal(f"codec: {tag} h2\n") == (
        f"t.yaml:1: codec: YAML tags such as {tag} are not supported"
    )


def test_a_merge_key():
    assert refusal("admin:\n  <<: {}\n") == (
        't.yaml:2: admin."<<": YAML merge keys are not supported'
    )


@pytest.mark.parametrize("key", ["? [a]\n", "!!str a", '"\\ud800"', '"\\0"'])
def test_a_key_that_is_no_plain_text(key):
    assert refusal(f"{key}: 1\n") == "t.yaml:1: a key must be plain text"


def test_a_key_given_twice_names_both_lines():
    assert refusal("limits:\n  stream_window: 1MiB\n\n  stream_window: 2MiB\n") == (
        "t.yaml:4: limits.stream_window: given twice; first on line 2"
    )


def test_a_control_character():
    assert refusal('codec: "h2\\n"\n') == (
        "t.yaml:1: codec: holds a control character, or what is not Unicode text"
    )


# -- the shape ---------------------------------------------------------------------------


def test_a_key_that_is_unknown_and_near_a_known_one():
    text = WHOLE.replace("match: {}", "match: {}, timeout: 1s")
    assert refusal(text) == ('t.yaml:6: routes[0].timeout: unknown key (did you mean "timeouts"?)')


def test_a_key_that_is_unknown_and_near_none():
    assert refusal(WHOLE + "admin:\n\n  zzz: 1\n") == (
        "t.yaml:9: admin.zzz: unknown key; known here: bind, token, token_file, tls"
    )


def test_a_key_that_must_be_there():
    assert refusal(LISTENERS + ROUTES) == "t.yaml:1: upstreams: is missing; it must be a list"


def test_a_key_that_must_be_in_an_entry():
    assert refusal(WHOLE.replace("upstream: app", "")) == (
        "t.yaml:6: routes[0].upstream: is missing; "
        "it must be the name of an upstream, or a list of names with weights"
    )


@pytest.mark.parametrize("value", ["", "~", "null"])
def test_a_key_without_a_value(value):
    assert refusal(WHOLE.replace('8080"', '8080", tls: ' + value)) == (
        "t.yaml:2: listeners[0].tls: is empty: give it a value, or leave it out"
    )


@pytest.mark.parametrize("section", ["listeners", "upstreams", "routes"])
def test_a_section_without_entries(section):
    texts = {"listeners": LISTENERS, "upstreams": UPSTREAMS, "routes": ROUTES}
    texts[section] = f"{section}: []\n"
    assert re.fullmatch(
        rf"t\.yaml:\d: {section}: must have at least one entry", refusal("".join(texts.values()))
    )


def test_an_upstream_without_endpoints():
    assert refusal(WHOLE.replace('["127.0.0.1:9000"]', "[]")) == (
        "t.yaml:4: upstreams[0].endpoints: must have at least one entry"
    )


def test_a_route_without_targets():
    assert refusal(WHOLE.replace("upstream: app", "upstream: []")) == (
        "t.yaml:6: routes[0].upstream: must have at least one entry"
    )


def test_a_list_that_should_be_a_mapping():
    assert refusal(WHOLE + "admin: []\n") == "t.yaml:7: admin: must be a mapping, not a list"


def test_a_mapping_that_should_be_a_list():
    assert refusal("routes: {}\n" + LISTENERS + UPSTREAMS) == (
        "t.yaml:1: routes: must be a list, not a mapping"
    )


def test_a_number_that_should_be_text():
    assert refusal(WHOLE.replace("name: all", "name: 7")) == (
        "t.yaml:6: routes[0].name: must be a name of 1 to 64 letters, digits, dots, _ or -, "
        "not 7 (put it in quotes)"
    )


def test_text_that_should_be_a_number():
    assert refusal(WHOLE + "limits: {max_concurrent_streams: many}\n") == (
        "t.yaml:7: limits.max_concurrent_streams: "
        'must be a whole number from 1 to 100000, not "many"'
    )


@pytest.mark.parametrize("streams", ["0", "100001", "1.5", "true", "9" * 18])
def test_a_number_out_of_its_range(streams):
    assert refusal(WHOLE + f"limits: {{max_concurrent_streams: {streams}}}\n") == (
        "t.yaml:7: limits.max_concurrent_streams: "
        f"must be a whole number from 1 to 100000, not {streams}"
    )


def test_a_weight_below_0():
    assert refusal(WHOLE.replace("upstream: app", "upstream: [{name: app, weight: -1}]")) == (
        "t.yaml:6: routes[0].upstream[0].weight: must be a whole number from 0 to 1000000, not -1"
    )


def test_weights_that_leave_nobody():
    assert refusal(WHOLE.replace("upstream: app", "upstream: [{name: app, weight: 0}]")) == (
        "t.yaml:6: routes[0].upstream: must give a weight above 0 to one of them"
    )


def test_a_long_value_is_cut_short():
    assert refusal(WHOLE + f"codec: {'h' * 500}\n") == (
        f't.yaml:7: codec: must be native or h2, not "{"h" * 80}…"'
    )


def test_a_bare_number_for_a_duration():
    assert refusal(WHOLE + "drain_timeout: 30\n") == (
        "t.yaml:7: drain_timeout: must be a whole number with its unit, "
        'such as 250ms, 15s, 2m or 1h; not 30 (did you mean "30s"?)'
    )


def test_a_list_for_a_duration():
    assert refusal(WHOLE + "drain_timeout: [30s]\n") == (
        "t.yaml:7: drain_timeout: must be a whole number with its unit, "
        "such as 250ms, 15s, 2m or 1h, not a list"
    )


def test_a_bare_number_for_a_size():
    assert refusal(WHOLE + "limits: {stream_window: 65536}\n") == (
        "t.yaml:7: limits.stream_window: must be a whole number with its unit, "
        'such as 512B, 64KiB, 4MiB or 1GiB; not 65536 (did you mean "64KiB"?)'
    )


@pytest.mark.parametrize("name", ["a b", "é", "x" * 65, ""])
def test_a_name_that_is_none(name):
    assert refusal(WHOLE.replace("name: all", f"name: '{name}'")) == (
        "t.yaml:6: routes[0].name: must be a name of 1 to 64 letters, digits, dots, _ or -, "
        f'not "{name}"'
    )


def test_a_way_to_balance_that_there_is_not():
    assert refusal(WHOLE.replace("name: app,", "name: app, load_balancing: leastrequest,")) == (
        "t.yaml:4: upstreams[0].load_balancing: must be round_robin, least_request or hash, "
        'not "leastrequest" (did you mean "least_request"?)'
    )


def test_a_codec_that_there_is_not():
    assert refusal(WHOLE + "codec: h3\n") == 't.yaml:7: codec: must be native or h2, not "h3"'


@pytest.mark.parametrize("workers", ["0", "257", "2.5", "true", '"2"', '"many"'])
def test_workers_that_are_no_number_of_processes(workers):
    assert refusal(WHOLE + f"workers: {workers}\n") == (
        f"t.yaml:7: workers: must be a whole number from 1 to 256, or auto, not {workers}"
    )


@pytest.mark.parametrize("workers", [1, 2, 256, "auto"])
def test_workers_are_counted_or_left_to_the_machine(workers):
    assert good(WHOLE + f"workers: {workers}\n").workers == workers


def test_trailers_for_the_log_are_named_in_lower_case():
    text = WHOLE + "access_log: {trailers: {response: [x-sum, grpc-status-details-bin]}}\n"
    trailers = good(text).access_log.trailers
    assert (trailers.request, trailers.response) == ((), ("x-sum", "grpc-status-details-bin"))
    assert refusal(text.replace("x-sum", "X-Sum")) == (
        "t.yaml:7: access_log.trailers.response[0]: must be the lower-case name of a field, "
        'not "X-Sum"'
    )


@pytest.mark.parametrize("number", ["-1", "10001", "many"])
def test_a_bound_of_grpc_methods(number):
    assert good(WHOLE + "metrics: {grpc_methods: 0}\n").metrics.grpc_methods == 0
    assert good(WHOLE).metrics.grpc_methods == 200
    assert "must be a whole number from 0 to 10000" in refusal(
        WHOLE + f"metrics: {{grpc_methods: {number}}}\n"
    )


def test_an_access_log_that_is_no_path():
    assert refusal(WHOLE + "access_log: {path: stderr}\n") == (
        't.yaml:7: access_log.path: must be off, stdout, or a path with a / in it, not "stderr"'
    )


@pytest.mark.parametrize("authority", ["*", "a.*", "http://a", "a b", ""])
def test_an_authority_that_is_none(authority):
    assert refusal(WHOLE.replace("{}", f"{{authority: '{authority}'}}")) == (
        "t.yaml:6: routes[0].match.authority: must be a host such as api.example.com, "
        f'or *.example.com for all below it, not "{authority}"'
    )


@pytest.mark.parametrize("prefix", ["greet", "/a?b", "/a#b", "/a b", "/é", ""])
def test_a_path_prefix_that_is_none(prefix):
    assert refusal(WHOLE.replace("{}", f"{{path_prefix: '{prefix}'}}")) == (
        "t.yaml:6: routes[0].match.path_prefix: "
        f'must be a path that begins with /, without ? or #, not "{prefix}"'
    )


@pytest.mark.parametrize(
    ("match", "why"),
    [
        ("{path: a}", '.path: must be a path that begins with /, without ? or #, not "a"'),
        ("{path_regex: '/(a'}", '.path_regex: "/(a": missing ): /(a'),
        ("{path_regex: '(?=a)'}", '.path_regex: "(?=a)": invalid perl operator: (?='),
        ("{path: /a, path_prefix: /b}", ".path_prefix: path says already which path is meant"),
        ("{path_regex: /a, grpc: {}}", ".grpc: path_regex says already which path is meant"),
        ("{method: 'GET '}", '.method: must be a method, such as GET, not "GET "'),
        (
            "{headers: [{name: 'x y'}]}",
            '.headers[0].name: must be the name of a field, such as x-checksum, not "x y"',
        ),
        (
            "{headers: [{name: x, value: a, regex: b}]}",
            ".headers[0].regex: value says already what is meant",
        ),
        (
            "{headers: [{name: x, regex: '*'}]}",
            '.headers[0].regex: "*": no argument for repetition operator: *',
        ),
        (
            "{grpc: {service: /a/b}}",
            '.grpc.service: must be a name such as greet.Greeter, not "/a/b"',
        ),
    ],
)
def test_a_match_that_is_none(match, why):
    assert refusal(WHOLE.replace("{}", match)) == f"t.yaml:6: routes[0].match{why}"


@pytest.mark.parametrize(
    ("upstream", "why"),
    [
        ("hash_by: {header: x}", ".hash_by: is of no use without load_balancing: hash"),
        (
            "load_balancing: hash, hash_by: {}",
            ".hash_by: must have one of header and cookie",
        ),
        (
            "load_balancing: hash, hash_by: {header: x, cookie: y}",
            ".hash_by: must have one of header and cookie",
        ),
        ("health_check: {}", ".health_check: must have one of path and grpc"),
        (
            "health_check: {path: /, interval: 50ms}",
            ".health_check.interval: must be 100ms or longer",
        ),
        ("health_check: {path: /, timeout: 0s}", ".health_check.timeout: must be longer than 0s"),
        (
            "health_check: {path: x}",
            '.health_check.path: must be a path that begins with /, not "x"',
        ),
        (
            "outlier_detection: {ejection_time: 0s}",
            ".outlier_detection.ejection_time: must be longer than 0s",
        ),
        (
            "outlier_detection: {ejection_time: 10m}",
            ".outlier_detection.max_ejection_time: must not be shorter than ejection_time",
        ),
        (
            "load_reports: {expiration_period: 0s}",
            ".load_reports.expiration_period: must be longer than 0s",
        ),
        (
            "load_reports: {error_penalty: -1}",
            ".load_reports.error_penalty: must be a whole number from 0 to 1000, not -1",
        ),
        (
            "panic_threshold: 101",
            ".panic_threshold: must be a whole number from 0 to 100, not 101",
        ),
        ("max_streams: 0", ".max_streams: must be a whole number from 1 to 1000000, not 0"),
    ],
)
def test_an_upstream_that_is_none(upstream, why):
    assert refusal(WHOLE.replace("name: app,", f"name: app, {upstream},")) == (
        f"t.yaml:4: upstreams[0]{why}"
    )


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ('"srv:"', '"srv:": the host is missing; '),
        ('"srv:a b"', "\"srv:a b\": 'a b' is not a host name"),
        ('"k8s:app"', '"k8s:app": the pods of a Service of Kubernetes are written k8s:NAMESPACE/'),
        ("{weight: 2}", "address: is missing"),
        ("{address: a:1, weight: 0}", "weight: must be a whole number from 1 to 1000, not 0"),
    ],
)
def test_an_endpoint_that_is_none(endpoint, why):
    text = WHOLE.replace("endpoints: [", f"endpoints: [{endpoint}, ")
    assert why in refusal(text)


@pytest.mark.parametrize(
    ("retry", "why"),
    [
        ("{}", ": must have on or status_codes: nothing would be tried again"),
        (
            "{on: [reset]}",
            ".on: is of no use without idempotent: true, as the upstream may have done its work",
        ),
        (
            "{on: [resets], idempotent: true}",
            ".on[0]: must be 5xx, gateway-error, reset, retriable-4xx, cancelled, "
            "deadline-exceeded, internal, resource-exhausted, unavailable, connect-failure or "
            'refused-stream, not "resets" (did you mean "reset"?)',
        ),
        (
            "{on: [refused-stream], status_codes: [503]}",
            ".status_codes: is of no use without idempotent: true, as the upstream may have done "
            "its work",
        ),
        (
            "{status_codes: [200], idempotent: true}",
            ".status_codes[0]: must be a whole number from 400 to 599, not 200",
        ),
        (
            "{on: [reset], idempotent: true, replay: 1MiB}",
            ".replay: must be 128KiB at most, half of limits.stream_window",
        ),
        (
            "{on: [reset], idempotent: true, attempts: 1}",
            ".attempts: must be a whole number from 2 to 10, not 1",
        ),
    ],
)
def test_a_retry_that_is_none(retry, why):
    assert refusal(WHOLE.replace("match: {}", f"match: {{}}, retry: {retry}")) == (
        f"t.yaml:6: routes[0].retry{why}"
    )


def test_what_is_always_tried_again_may_stand_there():
    retry = "{on: [connect-failure, refused-stream]}"
    parse(WHOLE.replace("match: {}", f"match: {{}}, retry: {retry}"), "t.yaml", {})


def test_a_certificate_without_a_name():
    tls = "tls: {certificate: '', private_key: k}"
    assert refusal(WHOLE.replace('8080"', f'8080", {tls}')) == (
        't.yaml:2: listeners[0].tls.certificate: must be the path of a file, not ""'
    )


def test_a_server_name_that_is_none():
    assert refusal(WHOLE.replace("name: app,", "name: app, tls: {server_name: .a},")) == (
        't.yaml:4: upstreams[0].tls.server_name: must be a host name, not ".a"'
    )


def test_an_address_without_a_port():
    assert refusal(WHOLE.replace('"0.0.0.0:8080"', "8080")) == (
        "t.yaml:2: listeners[0].bind: must be host:port, [v6]:port or unix:/path, not 8080"
    )


# -- how it fits together ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "entry"),
    [
        ("listeners", "{name: NAME, bind: '127.0.0.1:0'}"),
        ("upstreams", "{name: NAME, endpoints: ['a:1']}"),
        ("routes", "{name: NAME, match: {}, upstream: app}"),
    ],
)
def test_a_name_used_twice_in_a_section(section, entry):
    texts = {"listeners": LISTENERS, "upstreams": UPSTREAMS, "routes": ROUTES}
    texts[section] = f"{section}:\n" + f"  - {entry}\n".replace("NAME", "app") * 2
    assert re.fullmatch(
        rf't\.yaml:\d: {section}\[1\]\.name: "app" is already used by {section}\[0\]',
        refusal("".join(texts.values())),
    )


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("[::1]:80", "[::]:80"),
        ("unix:/run/a", "unix:/run/a"),
    ],
)
def test_listeners_that_could_not_both_listen(one, two):
    binds = f"listeners:\n- {{name: a, bind: '{one}'}}\n- {{name: b, bind: '{two}'}}\n"
    assert refusal(binds + UPSTREAMS + ROUTES) == (
        f't.yaml:3: listeners[1].bind: "{two}" collides with listeners[0].bind, "{one}"'
    )


def test_an_admin_page_where_a_listener_is():
    assert refusal(WHOLE + 'admin: {bind: "127.0.0.1:8080"}\n') == (
        't.yaml:7: admin.bind: "127.0.0.1:8080" collides with listeners[0].bind, "0.0.0.0:8080"'
    )


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "[::]:80", "unix:/run/a"])
def test_listeners_that_could_all_listen(bind):
    both = f"listeners:\n- {{name: a, bind: '{bind}'}}\n- {{name: b, bind: '127.0.0.1:0'}}\n"
    others = "- {name: c, bind: '0.0.0.0:80'}\n- {name: d, bind: 'unix:/run/b'}\n"
    assert len(good(both + others + UPSTREAMS + ROUTES).listeners) == 4


def test_a_listener_that_is_no_address():
    assert refusal(WHOLE.replace("0.0.0.0:8080", "::1:80")) == (
        't.yaml:2: listeners[0].bind: "::1:80": '
        "an IPv6 address stands in brackets, as in [::1]:8080"
    )


def test_an_endpoint_that_is_no_address():
    assert refusal(WHOLE.replace("127.0.0.1:9000", "127.0.0.1:99999")) == (
        't.yaml:4: upstreams[0].endpoints[0]: "127.0.0.1:99999": port 99999 is above 65535'
    )


def test_an_endpoint_on_port_0():
    assert refusal(WHOLE.replace("127.0.0.1:9000", "a:0")) == (
        't.yaml:4: upstreams[0].endpoints[0]: "a:0": an endpoint needs a port that is not 0'
    )


def test_an_endpoint_listed_twice():
    assert refusal(WHOLE.replace('["127.0.0.1:9000"]', '["a:1", "a:1"]')) == (
        't.yaml:4: upstreams[0].endpoints[1]: "a:1" is already used by upstreams[0].endpoints[0]'
    )


@pytest.mark.parametrize(
    ("given", "missing"), [("certificate", "private_key"), ("private_key", "certificate")]
)
def test_half_a_certificate(given, missing):
    assert refusal(WHOLE.replace("name: app,", f"name: app, tls: {{{given}: x}},")) == (
        f"t.yaml:4: upstreams[0].tls.{given}: is of no use alone: {missing} is missing"
    )


@pytest.mark.parametrize("interval", ["0s", "999ms"])
def test_resolving_too_often(interval):
    assert refusal(WHOLE.replace("name: app,", f"name: app, resolve_interval: {interval},")) == (
        "t.yaml:4: upstreams[0].resolve_interval: must be 1s or longer"
    )


@pytest.mark.parametrize("key", ["connect_timeout", "queue_timeout"])
def test_no_time_at_all_to_get_a_connection(key):
    assert refusal(WHOLE.replace("name: app,", f"name: app, {key}: 0s,")) == (
        f"t.yaml:4: upstreams[0].{key}: must be longer than 0s"
    )


@pytest.mark.slow
def test_patterns_of_one_authority_that_are_too_large_together():
    def routes(authority):
        match = "{{authority: {}, path_regex: '/(ab|cd|ef){{1,1000}}{}'}}"
        entry = "- {{name: r{}, match: {}, upstream: app}}\n"
        return "".join(entry.format(n, match.format(authority(n), n)) for n in range(25))

    assert refusal(f"{LISTENERS}{UPSTREAMS}routes:\n{routes(lambda n: 'A.b')}") == (
        't.yaml:30: routes[24].match.path_regex: the patterns of authority "a.b" are too large to '
        "be looked up together, of which this is the last"
    )
    assert len(good(f"{LISTENERS}{UPSTREAMS}routes:\n{routes(lambda n: f'a{n}')}").routes) == 25


def test_a_route_to_an_upstream_that_is_near_a_known_one():
    assert refusal(WHOLE.replace("upstream: app", "upstream: ap")) == (
        't.yaml:6: routes[0].upstream: there is no upstream "ap" (did you mean "app"?)'
    )


def test_a_target_that_is_near_no_upstream():
    assert refusal(WHOLE.replace("upstream: app", "upstream: [{name: x}]")) == (
        't.yaml:6: routes[0].upstream[0].name: there is no upstream "x"; there is app'
    )


def test_of_many_upstreams_only_some_are_named():
    many = ", ".join(f"{{name: u{n}, endpoints: ['a:1']}}" for n in range(50))
    told = refusal(f"{LISTENERS}upstreams: [{many}]\n{ROUTES}")
    some = ", ".join(f"u{n}" for n in range(20))
    assert told.endswith(f'there is no upstream "app"; there is {some}')


def test_thousands_of_listeners_and_routes_are_checked_in_time():
    """Squared time would be a minute."""
    settings = Settings(
        listeners=tuple(ListenerSettings(name=f"l{n}", bind=f"a{n}:80") for n in range(8000)),
        upstreams=tuple(UpstreamSettings(name=f"u{n}", endpoints=("a:1",)) for n in range(5000)),
        routes=tuple(RouteSettings(name=f"r{n}", match=Match(), upstream="x") for n in range(500)),
    )
    began = time.process_time()
    assert len(checks.complaints(settings)) == 500
    assert time.process_time() - began < 6


def test_a_target_listed_twice():
    assert refusal(WHOLE.replace("upstream: app", "upstream: [{name: app}, {name: app}]")) == (
        't.yaml:6: routes[0].upstream[1].name: "app" is already used by routes[0].upstream[0]'
    )


@pytest.mark.parametrize(
    ("key", "value", "low"),
    [
        ("stream_window", "1023B", "1KiB"),
        ("connection_window", "63KiB", "65535B"),
        ("max_header_list", "0B", "1KiB"),
        ("max_header_list", "2GiB", "1KiB"),
    ],
)
def test_a_limit_out_of_its_range(key, value, low):
    assert refusal(WHOLE + f"limits: {{{key}: {value}}}\n") == (
        f"t.yaml:7: limits.{key}: must be from {low} to 2147483647B, not {value}"
    )


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("head_timeout", "999ms", "1s or longer"),
        ("head_timeout", "0s", "1s or longer"),
        ("idle_timeout", "999ms", "1s or longer, or 0s"),
    ],
)
def test_a_timeout_of_connections_is_looked_at_once_a_second(key, value, why):
    assert (
        refusal(WHOLE + f"limits: {{{key}: {value}}}\n") == f"t.yaml:7: limits.{key}: must be {why}"
    )


def test_a_connection_window_below_the_stream_window():
    assert refusal(WHOLE + "limits:\n  connection_window: 64KiB\n") == (
        "t.yaml:8: limits.connection_window: "
        "64KiB is less than stream_window, 256KiB: one stream could not fill its window"
    )


# -- all at once -------------------------------------------------------------------------


def test_all_problems_are_told_in_the_order_of_the_file():
    text = WHOLE.replace("name: all", "nam: all") + "codec: h3\nadmin: {}\nworkers: 0\n"
    with pytest.raises(SettingsError) as refused:
        good(text)
    problems = refused.value.problems
    assert [(problem.path, problem.line) for problem in problems] == [
        ("routes[0].nam", 6),
        ("routes[0].name", 6),
        ("codec", 7),
        ("workers", 9),
    ]
    assert problems[2] == Problem("codec", 7, 'must be native or h2, not "h3"')
    assert len(str(refused.value).splitlines()) == 4


SCALARS = st.sampled_from([None, True, 7, -1, 1.5, "", "app", "5s", "1KiB", "a:1", "/", "\0", "${"])
KEYS = st.sampled_from(["name", "match", "upstream", "endpoints", "tls", "idle", "limits", "x"])
VALUES = st.recursive(
    SCALARS, lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(KEYS, deeper, max_size=3)
)
SECTIONS = st.sampled_from(["listeners", "upstreams", "routes", "admin", "limits", "codec"])


@given(st.dictionaries(SECTIONS, VALUES, min_size=1))
def test_whatever_a_file_holds_is_told_with_its_line(sections):
    text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in sections.items())
    with pytest.raises(SettingsError) as refused:
        good(text)
    assert all(problem.line and problem.path and problem.why for problem in refused.value.problems)


@given(st.text("[]{}:-,&*!|>'\"%@`#? \n\tab0$", max_size=60))
def test_whatever_a_text_is_nothing_but_a_refusal_comes_of_it(text):
    assert refusal(text).startswith("t.yaml:")


# -- the schema and the admin page -------------------------------------------------------


def described():
    """Yield every struct of the schema with its name."""
    return schema()["$defs"].items()


def test_the_schema_is_json_of_the_2020_12_dialect():
    whole = json.loads(json.dumps(schema()))
    assert whole["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert whole["$ref"].removeprefix("#/$defs/") in whole["$defs"]


def test_the_schema_describes_every_key_and_allows_no_other():
    for name, struct in described():
        assert struct["additionalProperties"] is False, name
        for key, kind in struct["properties"].items():
            assert kind["description"], (name, key)
            assert {"type", "enum", "anyOf", "$ref"} & kind.keys(), (name, key)


def test_the_schema_refers_only_to_what_it_holds():
    names = re.findall(r'"#/\$defs/(\w+)"', json.dumps(schema()))
    assert set(names) == set(schema()["$defs"])


def test_the_schema_has_the_defaults_as_operators_write_them():
    structs = dict(described())
    assert structs["UpstreamSettings"]["properties"]["connect_timeout"] == {
        "type": "string",
        "pattern": "^([0-9]{1,9})(ms|s|m|h)$",
        "description": "For the socket, TLS and the peer's SETTINGS together.",
        "default": "5s",
    }
    assert structs["Settings"]["properties"]["limits"]["default"]["stream_window"] == "256KiB"


def test_the_schema_knows_no_null():
    assert "null" not in json.dumps(schema())


def test_secrets_are_masked_for_the_admin_page():
    text = WHOLE.replace('8080"', '8080", tls: {certificate: c.pem, private_key: k.pem}')
    shown = masked(good(text))
    tls = shown["listeners"][0]["tls"]
    assert (tls["certificate"], tls["private_key"]) == ("c.pem", "***")
    assert "k.pem" not in json.dumps(shown)


def test_the_admin_page_shows_values_with_their_units():
    shown = masked(good(WHOLE))
    assert shown["routes"][0]["timeouts"] == {"response_head": "15s", "idle": "1m", "total": "0s"}
    assert shown["limits"]["connection_window"] == "4MiB"


def test_settings_cannot_be_changed():
    with pytest.raises(AttributeError):
        good(WHOLE).workers = 2


def test_settings_are_quick_to_import():
    heavy = {"asyncio", "ssl", "aiohttp", "h2", "hpack", "prometheus_client"}
    code = "import sys, trailproxy.ops.settings; print(*sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert not heavy & set(done.stdout.split())
