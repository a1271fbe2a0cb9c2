import pytest
from pydantic import SecretStr

from server.cli.values import Meaning, ago, clock, count, duration, moment, printable
from server.sync.mapping import Rule, TargetSettings
from server.sync.model import NOT_KNOWN, Missing, Value
from tests.rig.sync_samples import MEANING, at, set_zone

pytestmark = pytest.mark.usefixtures("local_time")


@pytest.mark.parametrize(
    ("name", "found", "text"),
    [
        ("price", "25.00", "25.00 EUR"),
        ("default_price", "0.00", "0.00 EUR"),
        ("name", "25.00", "25.00"),
        ("price", "free", "free"),
        ("free_price", True, "yes"),
        ("active", False, "no"),
        ("limit", 0, "0"),
        ("limit", None, "unlimited"),
        ("size", None, "unlimited"),
        ("available_until", None, "none"),
        ("available_until", "2027-03-01T18:00:00Z", "2027-03-01 18:00"),
        ("available_until", "2027-03-01T18:00:01.500Z", "2027-03-01 18:00:01"),
        ("limit", NOT_KNOWN, "not known"),
        ("name", "", '""'),
        ("name", " a ", '" a "'),
        ("name", "two\nlines", "two lines"),
        ("name", "2027-03-01T18:00Z\x1b", '"2027-03-01T18:00Z "'),
    ],
)
def test_value(name: str, found: Value | Missing, text: str) -> None:
    """A value is shown in words: a price with its currency, no limit, no time, what is not known, and blanks that matter."""
    assert text == MEANING.value(name, found, "EUR")


def test_price_without_currency() -> None:
    """A price has no currency where none is known."""
    assert "25.00" == MEANING.value("price", "25.00")
    assert not MEANING.is_price("price", None)


def test_meaning_by_the_mapping() -> None:
    """Which fields are prices and limits follows from where the mapping takes them, whatever their names are."""
    rules = (Rule("cost", "price"), Rule("places", "limit"), Rule("limit", "name"), Rule("price", constant="1.00"))
    settings = TargetSettings("shop", "http", "", SecretStr(""), {}, rules, (Rule("fee", "option.price"),))

    assert Meaning(frozenset({"cost", "fee"}), frozenset({"places"})) == Meaning.of(settings)


def test_ago() -> None:
    """What has just happened has no duration."""
    assert "just now" == ago(2.0)
    assert "12 min ago" == ago(720)


def test_local_time() -> None:
    """Times are shown in the local time of the machine."""
    set_zone("Europe/Berlin")

    assert "2027-03-01 19:00" == moment("2027-03-01T18:00:00Z")
    assert "2027-07-01 20:00" == moment("2027-07-01T18:00:00Z")
    assert "11:04" == clock(at("10:04:00"), at("12:00:00"))
    assert "Wed" == clock(at("23:30:00", day=9), at("23:30:00", day=10))


@pytest.mark.parametrize(
    ("clock_", "day", "text", "exact"),
    [
        ("10:04:31", 10, "10:04", "10:04:31"),
        ("00:00:00", 10, "00:00", "00:00:00"),
        ("23:59:59", 9, "Tue", "Tue 23:59:59"),
        ("10:00:00", 4, "Thu", "Thu 10:00:00"),
        ("10:00:00", 3, "2027-03-03", "2027-03-03 10:00:00"),
        ("10:00:00", 11, "2027-03-11", "2027-03-11 10:00:00"),
    ],
)
def test_clock(clock_: str, day: int, text: str, exact: str) -> None:
    """A moment is a time today, a day of the week within a week, and else a date."""
    assert text == clock(at(clock_, day), at("12:00:00"))
    assert exact == clock(at(clock_, day), at("12:00:00"), seconds=True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (1.42, "1.4 s"),
        (48, "48 s"),
        (119, "119 s"),
        (1260, "21 min"),
        (3600, "1 h"),
        (7300, "2 h"),
        (86400, "1 day"),
        (3 * 86400, "3 days"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    """A duration has the unit in which it is a small number."""
    assert text == duration(seconds)


def test_count() -> None:
    """A number has its word in the singular or in the plural."""
    assert "1 record" == count(1, "record")
    assert "0 records" == count(0, "record")
    assert "1,250 entries" == count(1250, "entry", "entries")


def test_printable() -> None:
    """Characters that control a terminal become blanks; emoji that are joined, accents and right-to-left text stay."""
    assert "a b c d e" == printable("a\x00b\x9bc\u2028d\ue000e")
    assert "a b" == printable("a\ud800b")
    assert "x y z" == printable("x\u202ey\u2066z")
    assert "👨\u200d👩\u200d👧 é שלום می\u200cخواهم" == printable("👨\u200d👩\u200d👧 é שלום می\u200cخواهم")
