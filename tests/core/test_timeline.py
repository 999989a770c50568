"""What is kept of an exchange, however long it lasts and whatever its peers send."""

from trailproxy.core.fault import Side
from trailproxy.core.record import Direction
from trailproxy.core.timeline import (
    ALL_OCTETS,
    CHUNKS,
    FIELD_OCTETS,
    MARKS,
    Kind,
    Part,
    Timeline,
    fitting,
)
from trailproxy.wire.field import Field
from trailproxy.wire.fields import Fields


def part(at: float, kind: Kind, size: int = 0, **more: object) -> Part:
    return Part(
        at=at, side=Side.UPSTREAM, way=Direction.RECEIVED, kind=kind, size=size, chunks=1,
        until=at, **more,
    )  # type: ignore[arg-type] # fmt: skip


def test_parts_stand_in_the_order_of_their_times() -> None:
    timeline = Timeline()
    timeline.mark(part(2.0, Kind.END))
    timeline.chunk(part(1.0, Kind.DATA, 7))
    timeline.mark(part(0.0, Kind.HEAD))
    assert [each.kind for each in timeline.parts()] == [Kind.HEAD, Kind.DATA, Kind.END]


def test_parts_of_one_moment_stand_as_they_were_noted() -> None:
    timeline = Timeline()
    timeline.mark(part(1.0, Kind.RESET))
    timeline.mark(part(1.0, Kind.HEAD))
    timeline.chunk(part(1.0, Kind.DATA, 7))
    assert [each.kind for each in timeline.parts()] == [Kind.RESET, Kind.HEAD, Kind.DATA]


def test_of_a_long_run_the_middle_is_one_sum() -> None:
    timeline = Timeline()
    for second in range(1000):
        timeline.chunk(part(float(second), Kind.DATA, 10))
    parts = timeline.parts()
    assert len(parts) == 2 * CHUNKS + 1
    assert [each.at for each in parts[:CHUNKS]] == [float(second) for second in range(CHUNKS)]
    middle = parts[CHUNKS]
    assert (middle.chunks, middle.size) == (1000 - 2 * CHUNKS, (1000 - 2 * CHUNKS) * 10)
    assert (middle.at, middle.until) == (float(CHUNKS), float(1000 - CHUNKS - 1))
    run = timeline.run(Side.UPSTREAM, Direction.RECEIVED)
    assert (run.chunks, run.octets) == (1000, 10_000)
    assert timeline.run(Side.DOWNSTREAM, Direction.SENT).chunks == 0


def test_other_parts_have_a_bound() -> None:
    timeline = Timeline()
    for second in range(MARKS + 5):
        timeline.mark(part(float(second), Kind.INTERIM))
    assert len(timeline.parts()) == MARKS
    assert timeline.left_out == 5


def test_of_a_field_list_what_fits_is_kept() -> None:
    small = Fields([Field(b"a", b"1"), Field(b"b", b"2")])
    assert fitting(small, 100) == (small, 0)

    large = Fields([Field(b"a", b"1"), Field(b"big", b"x" * 5000, True), Field(b"z", b"9")])
    timeline = Timeline()
    timeline.mark(part(0.0, Kind.HEAD, fields=large))
    (kept,) = timeline.parts()
    assert kept.fields is not None
    assert kept.fields.size <= FIELD_OCTETS
    first, cut, last = kept.fields.items
    assert (first.name, last.name) == (b"a", b"z")
    assert cut.value == b"x" * 256 + b"..."
    assert cut.never_indexed
    assert kept.left_out == 1


def test_all_field_lists_together_have_a_bound() -> None:
    large = Fields([Field(b"a" * 32, b"x" * 192) for _ in range(14)])
    timeline = Timeline()
    for second in range(10):
        timeline.mark(part(float(second), Kind.INTERIM, fields=large))
    kept = [each.fields for each in timeline.parts() if each.fields is not None]
    assert ALL_OCTETS - 300 < sum(fields.size for fields in kept) <= ALL_OCTETS
    assert [len(fields) for fields in kept[-3:]] == [0, 0, 0]
    assert timeline.parts()[-1].left_out == 14


def test_fields_too_many_are_counted() -> None:
    many = Fields([Field(b"n%d" % number, b"v") for number in range(2000)])
    kept, less = fitting(many, FIELD_OCTETS)
    assert kept.size <= FIELD_OCTETS
    assert len(kept) + less == 2000


def test_a_name_without_end_is_cut_too() -> None:
    kept, less = fitting(Fields([Field(b"n" * 9000, b"v")]), FIELD_OCTETS)
    assert [len(field.name) for field in kept] == [128]
    assert less == 1
