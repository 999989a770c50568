"""What the pages tell of the code is what the code says now, and all of it."""

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from docs.site import metric_tables, settings_tables
from docs.site.commands import commands
from docs.site.marked import code, fill, prose, table, told
from docs.site.reference import DOCS, written
from trailproxy.core.hooks import Call, Hook
from trailproxy.ops.settings import schema

WRITTEN = dict(written())
STRUCTS = schema()["$defs"]


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_what_is_made_of_the_code_is_what_it_says_now(path: Path) -> None:
    assert path.read_text("utf-8") == WRITTEN[path], "make reference writes it anew"


def names(page: str) -> list[str]:
    """Return the first cell of each row of a page that is a name."""
    return re.findall(r"^\| `([^`]+)` ", (DOCS / page).read_text("utf-8"), re.MULTILINE)


# -- settings ------------------------------------------------------------------------------


def test_every_key_has_a_row() -> None:
    assert sorted(names("configuration.md")) == sorted(
        key for key, *_ in settings_tables.every_key()
    )


LEAVES = [(key, form, need) for key, form, need in settings_tables.every_key()
          if settings_tables.is_leaf(form)]  # fmt: skip


@pytest.mark.parametrize(("key", "form", "need"), LEAVES, ids=[key for key, *_ in LEAVES])
def test_a_key_without_a_default_has_an_example(key: str, form: dict, need: bool) -> None:
    given = need or form.get("default") in (None, [])
    assert not given or "enum" in form or form["examples"]


@pytest.mark.parametrize("key", [key for key in LEAVES if "examples" in key[1]], ids=lambda k: k[0])
def test_examples_are_such_as_the_key_takes(key: tuple[str, dict, bool]) -> None:
    for example in key[1]["examples"]:
        jsonschema.Draft202012Validator({**key[1], "$defs": STRUCTS}).validate(example)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 9}, "number, 1 to 9"),
        ({"enum": ["a", "b"]}, "`a` or `b`"),
        ({"type": "boolean"}, "`true` or `false`"),
        ({"type": "string", "examples": ["x"]}, "text, such as `x`"),
        ({"type": "array", "items": {"$ref": "#/$defs/X"}}, "list: section"),
        ({"anyOf": [{"type": "string"}, {"$ref": "#/$defs/X"}]}, "text or section"),
        (STRUCTS["Limits"]["properties"]["idle_timeout"], "duration"),
        (STRUCTS["Limits"]["properties"]["min_rate"], "size"),
    ],
)
def test_kinds_are_told_in_words(form: dict, words: str) -> None:
    assert settings_tables.kind(form) == words


# -- metrics -------------------------------------------------------------------------------

LABELS = [
    (family.name.removeprefix("trailproxy_"), label)
    for family in metric_tables.families()
    for label in metric_tables.labels_of(family)
]


@pytest.mark.parametrize(("metric", "label"), LABELS)
def test_what_a_label_may_say_is_told(metric: str, label: str) -> None:
    assert f"{metric}.{label}" in metric_tables.VALUES or label in metric_tables.VALUES


@pytest.mark.parametrize("key", metric_tables.VALUES)
def test_no_label_is_told_of_that_there_is_not(key: str) -> None:
    metric, _, label = key.rpartition(".")
    assert any(label == there and metric in ("", of) for of, there in LABELS)


NAMED_IN_HELP = (
    "config_reloads.outcome",
    "digests.outcome",
    "endpoint_events.event",
    "endpoints.state",
    "load_reports.outcome",
    "retries.outcome",
    "trace_spans.outcome",
)


@pytest.mark.parametrize("key", NAMED_IN_HELP)
def test_values_are_those_of_the_help(key: str) -> None:
    metric = f"trailproxy_{key.partition('.')[0]}"
    (help_,) = (each.documentation for each in metric_tables.families() if each.name == metric)
    for word in metric_tables.VALUES[key]:
        assert re.search(rf"\b{word}\b", help_), word


# -- the command line ----------------------------------------------------------------------


def test_every_command_tells_its_arguments_and_its_status() -> None:
    sections = {each.partition("\n")[0]: each for each in commands().split("## trailproxy ")[1:]}
    assert {"run", "check", "schema", "demo", "probe", "replay"} <= sections.keys()
    assert "worker" not in sections  # which stands in no help
    for section in sections.values():
        assert "\nExit status: " in section
    assert "| `-c`, `--config FILE` | required | the YAML file |" in sections["run"]
    assert "\ntrailproxy replay --against URL FILE [--authority NAME] " in sections["replay"]


# -- hooks ---------------------------------------------------------------------------------


def test_every_method_of_a_hook_is_shown() -> None:
    page = (DOCS / "hooks.md").read_text("utf-8")
    assert set(re.findall(r"    def (\w+)\(", page)) >= {
        name for name in vars(Hook) if not name.startswith("_")
    }


def test_every_attribute_of_a_call_is_explained() -> None:
    documented = re.findall(r"^ +(\w+): ", Call.__doc__ or "", re.MULTILINE)
    source = (DOCS.parent / "trailproxy/core/hooks.py").read_text("utf-8")
    inside = source.partition("class Call:")[2].partition("\nclass ")[0]
    assert documented == re.findall(r"self\.(\w+): Final", inside)


# -- marks ---------------------------------------------------------------------------------

PAGE = "by hand\n<!-- made:begin it a b -->\nold\n<!-- made:end -->\nby hand\n"


def test_only_what_stands_between_marks_is_written() -> None:
    made = fill(PAGE, {"it": lambda *about: f"of {about}\n"})
    assert made == PAGE.replace("old\n", "\nof ('a', 'b')\n\n")
    assert fill(made, {"it": lambda *about: f"of {about}\n"}) == made
    assert told(made) == [("it", ["a", "b"])]


def test_a_maker_that_there_is_not_is_told() -> None:
    with pytest.raises(KeyError):
        fill(PAGE, {})


def test_cells_show_what_they_are_given() -> None:
    assert prose("a * or <b>, `x*|y`") == r"a \* or \<b>, `x*|y`"
    assert code("a|b") == r"`a\|b`"
    assert table("x | y", [("1", "2")]) == "| x | y |\n| --- | --- |\n| 1 | 2 |\n"


def test_the_schema_is_yaml_that_editors_read() -> None:
    assert yaml.safe_load(yaml.safe_dump(schema()))["$defs"].keys() == STRUCTS.keys()
