from dataclasses import replace

import pytest

from server.cli.diff_text import diff_lines
from server.cli.plan_text import View
from server.cli.table import columns_of
from server.cli.terminal import Terminal
from server.sync.model import NOT_KNOWN, Kind, OptionChange
from server.sync.reports import Diff, TicketDiff
from tests.rig.sync_samples import DIFF, MEANING, NOW, change, plan

pytestmark = pytest.mark.usefixtures("local_time")


def shown(found: Diff, terminal: Terminal | None = None) -> list[str]:
    return list(diff_lines(found, View(terminal or Terminal(200), MEANING, NOW)))


def only(one: TicketDiff) -> Diff:
    """A comparison in which one ticket differs, and all else is equal."""
    return Diff(plan(), (one,), equal=1, without=0)


def test_diff_on_a_terminal() -> None:
    """A difference shows what Wix has, what was applied and what the target has, with the currency, and which side changed."""
    assert (
        """\
General admission 11111111, record 12
  field      Wix         applied 09:58   pretix-main
  price      27.50 EUR   25.00 EUR       25.00 EUR     newer in Wix
  limit      100         100             120           edited in pretix-main
  position   3           not known       1             our record was rebuilt; Wix wins at the next apply
3 fields of 1 ticket differ; 245 tickets are equal; 4 have no record, or more than one, or are gone (sync plan).
""".splitlines()
        == shown(DIFF)
    )


def test_nothing_differs() -> None:
    """Where nothing differs that is the only line."""
    assert ["No field differs; 245 tickets are equal."] == shown(Diff(plan(), (), equal=245, without=0))
    assert ["No field differs; 1 ticket is equal; 1 has no record, or more than one, or is gone (sync plan)."] == shown(
        Diff(plan(), (), equal=1, without=1)
    )


def test_both_changed_and_unknown() -> None:
    """A field that both sides changed, one that the target does not tell, and a record of which nothing is known, are said so."""
    one = replace(
        DIFF.tickets[0],
        applied_at=None,
        fields=(change("limit", None, 5, 7), change("available_until", None, "2027-03-01T18:00:00Z", NOT_KNOWN)),
    )
    assert [
        "  field             Wix         applied            pretix-main",
        "  limit             unlimited   5                  7             newer in Wix, and edited in pretix-main",
        "  available_until   none        2027-03-01 18:00   not known     pretix-main does not say what it has",
        "2 fields of 1 ticket differ; 1 ticket is equal.",
    ] == shown(only(one))[1:]


def test_options() -> None:
    """Options are shown with their names: changed fields, new options, removed ones."""
    options = (
        OptionChange(Kind.UPDATE, "o2", "Adult", "7", (change("price", "22.00", "20.00", "20.00"),)),
        OptionChange(Kind.CREATE, "o1", "Child", None, (change("price", "8.50"),)),
        OptionChange(Kind.DEACTIVATE, "o3", "", "8"),
    )
    assert [
        "  option Adult: price   22.00 EUR   20.00 EUR       20.00 EUR     newer in Wix",
        "  option Child          there                       not there     new in Wix",
        "  option o3             not there                   there         removed in Wix",
        "3 fields of 1 ticket differ; 1 ticket is equal.",
    ] == shown(only(replace(DIFF.tickets[0], fields=(), options=options)))[2:]


def test_narrow_and_no_terminal() -> None:
    """On a narrow terminal long values are cut and lines fit; elsewhere values and ids are whole."""
    one = replace(
        DIFF.tickets[0], name="[b]\x1b[1m" + "N" * 90, fields=(change("description", "w" * 300, "x", "\u202ey"),)
    )

    narrow = shown(only(one), Terminal(80))
    assert [] == [line for line in narrow if columns_of(line) > 80]
    whole = "\n".join(shown(only(one), Terminal()))
    assert "w" * 300 in whole
    assert one.ticket in whole
    assert "[b] [1mNNN" in whole
    assert not {"\x1b", "\u202e"} & set(whole)
