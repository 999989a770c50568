"""What was dropped last is kept, within bounds."""

from tests.support.records import record_of
from trailproxy.core.record import Record
from trailproxy.ops.drops import MOST, Drops


def dropped(path: str) -> Record:
    return record_of("main", "GET", "a.example", path, "192.0.2.7", 1.0, grpc=False)


def test_the_last_ones_are_kept_in_their_order() -> None:
    drops = Drops()
    for number in range(MOST + 3):
        drops.keep(dropped(f"/{number}"))
    kept = drops.since(0)
    assert len(kept) == MOST
    assert [record.path for _, record in kept[-2:]] == [f"/{MOST + 1}", f"/{MOST + 2}"]
    last, record = kept[-1]
    assert drops.find(last) is record
    assert drops.find(1) is None
    assert drops.since(last) == []
    assert drops.since(last - 1) == [(last, record)]


def test_one_that_is_large_is_not_kept() -> None:
    drops = Drops()
    drops.keep(dropped("/" + "x" * 20_000))
    drops.keep(dropped("/small"))
    assert [record.path for _, record in drops.since(0)] == ["/small"]
