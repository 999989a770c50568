"""Allowances: spent, earned back, never beyond the burst."""

from trailproxy.wire.flood import Allowance, Cheap


def _spendable(allowance: Allowance, kind: int) -> int:
    count = 0
    while allowance.spend(kind):
        count += 1
    return count


def test_a_burst_is_allowed_and_then_no_more() -> None:
    allowance = Allowance()
    assert _spendable(allowance, Cheap.PING) == 200
    assert not allowance.spend(Cheap.PING)
    assert allowance.spend(Cheap.RESET), "each kind has its own"


def test_a_second_gives_back_a_tenth_at_most_up_to_the_burst() -> None:
    allowance = Allowance()
    allowance.replenish()
    assert _spendable(allowance, Cheap.SETTINGS) == 100
    allowance.replenish()
    assert _spendable(allowance, Cheap.SETTINGS) < 11


def test_honest_traffic_earns_what_it_spends() -> None:
    allowance = Allowance()
    for _ in range(5000):
        assert allowance.spend(Cheap.RESET)
        allowance.honest_streams += 1


def test_one_broken_stream_in_two_is_no_flood() -> None:
    """Or a peer with a fault that many meet would lose the streams of all the others."""
    allowance = Allowance()
    for _ in range(5000):
        assert allowance.spend(Cheap.PROVOKED)
        allowance.honest_streams += 1


def test_a_ping_for_each_piece_of_body_is_no_flood() -> None:
    """Some gRPC peers measure the path with one a round trip, for as long as body comes."""
    allowance = Allowance()
    for _ in range(5000):
        assert allowance.spend(Cheap.PING)
        allowance.honest_frames += 1


def test_an_empty_piece_of_body_in_each_message_is_no_flood() -> None:
    allowance = Allowance()
    for _ in range(5000):
        assert allowance.spend(Cheap.EMPTY_DATA)
        allowance.honest_streams += 1


def test_what_was_earned_is_taken_into_account_once_and_up_to_the_burst() -> None:
    allowance = Allowance()
    allowance.honest_frames = 1_000_000
    assert _spendable(allowance, Cheap.WINDOW_UPDATE) == 20_000
