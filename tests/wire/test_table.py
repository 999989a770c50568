"""The table of streams: found by id, whatever stays and whatever passes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trailproxy.wire.table import Numbered, StreamTable


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 3000), st.booleans()), max_size=300))
def test_it_holds_what_a_dict_would(steps: list[tuple[int, bool]]) -> None:
    table, model = StreamTable(), dict[int, Numbered]()
    for number, adds in steps:
        sid = 2 * number + 1
        if adds and sid not in model:
            model[sid] = Numbered(sid)
            table.add(model[sid])
        elif not adds and sid in model:
            table.remove(model.pop(sid))
        assert table.get(sid) is model.get(sid)
    assert list(table) == sorted(model)
    assert table.values() == [model[sid] for sid in sorted(model)]
    assert len(table) == len(model)


def test_one_that_stays_is_found_among_all_that_pass() -> None:
    table, stays = StreamTable(), Numbered(1)
    table.add(stays)
    for sid in range(3, 20_001, 2):
        passes = Numbered(sid)
        table.add(passes)
        assert table[1] is stays
        assert table[sid] is passes
        table.remove(passes)
    assert 20_001 not in table
    with pytest.raises(KeyError):
        table[3]


def test_thousands_at_once_have_their_place() -> None:
    table = StreamTable()
    streams = [Numbered(sid) for sid in range(1, 10_001, 2)]
    for stream in streams:
        table.add(stream)
    assert all(table.get(stream.sid) is stream for stream in streams)
    for stream in streams:
        table.remove(stream)
    assert len(table) == 0
    assert table.values() == []
