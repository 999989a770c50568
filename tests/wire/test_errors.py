"""Error codes, and what they are called."""

import pytest

from trailproxy.wire import Role, WireParams, make_codec
from trailproxy.wire.errors import ErrorCode, HTTP2Error, code_name


def test_codes_nobody_registered_share_one_name() -> None:
    assert code_name(0x8) == "CANCEL"
    assert code_name(0xE) == code_name(0xFFFFFFFF) == "UNKNOWN"


def test_an_error_carries_what_it_would_be_on_the_wire() -> None:
    assert HTTP2Error("no").code is ErrorCode.PROTOCOL_ERROR
    assert HTTP2Error("no", ErrorCode.CANCEL).code is ErrorCode.CANCEL


def test_a_codec_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(ValueError, match="unknown codec 'h3'; there is native, h2"):
        make_codec("h3", Role.CLIENT, WireParams())
