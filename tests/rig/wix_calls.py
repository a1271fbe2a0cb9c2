"""The calls that reached Wix, as its rate limit counts them."""

from collections.abc import Iterable

from tests.rig.wix import WixRig

MINUTE = 60.0


def counted_calls(wix: WixRig, since: float = 0.0) -> list[float]:
    """The times (time.time) of the calls that count, refused ones too: all but token requests."""
    return [call.at for call in wix.calls() if call.kind != "token" and call.at >= since]


def most_in_a_minute(calls: Iterable[float]) -> int:
    """The most calls within any 60 s, wherever those begin."""
    at = sorted(calls)
    first = most = 0
    for last, moment in enumerate(at):
        while moment - at[first] >= MINUTE:
            first += 1
        most = max(most, last - first + 1)
    return most
