from typing import Any

import pytest

from docs import receiver
from server.errors import NotStarted
from server.sync.conformance.check import Check, Result, Verdict
from server.sync.conformance.run import CHECKS, Report, line, run, summary
from tests.rig import broken_receivers as broken
from tests.rig.receiver import EVENT, SECRET

NAMED = {one.name: one for one in CHECKS}

BROKEN: dict[type[Any], tuple[str, str]] = {
    broken.ForgetsKeys: (
        "same-key-again",
        "sent one POST twice with one idempotency key: expected 201 to the second as well, saw 409 ",
    ),
    broken.DoublesTickets: (
        "create-again-with-the-same-key",
        "sent the same creation twice, with one idempotency key: expected one record, saw 2 (",
    ),
    broken.AcceptsAll: ("unsigned", "sent GET without a signature: expected 401, saw 200"),
    broken.AcceptsOld: ("signed-long-ago", "sent GET signed ten minutes ago: expected 401, saw 200"),
    broken.ForgetsTheId: (
        "put-of-some-members",
        "sent PUT with a name alone: expected one record with its id, saw none",
    ),
    broken.SkipsARecord: (
        "list-a-page-and-one",
        "expected no error, saw TargetUnavailable: conformance: its list has ",
    ),
    broken.SkipsAndCountsSo: ("list-each-once", "created 3 records and listed "),
    broken.NewestFirst: ("list-each-once", "created 3 records and listed "),
    broken.DropsLimits: (
        "created-values",
        "created a record: expected nothing left to do, saw limit: wrote 100, reads nothing",
    ),
    broken.NullIsZero: (
        "limits",
        "set the limit to unlimited: expected nothing left to do, saw limit: wrote None, reads 0",
    ),
    broken.Trims: (
        "texts",
        "gave it a name of spaces at the ends: expected nothing left to do, saw name: wrote '  two at each end  ', reads ",
    ),
    broken.Escapes: ("texts", "gave it a name of markup: expected nothing left to do, saw name: wrote '<b>Early</b> "),
    broken.PricesAsNumbers: (
        "created-values",
        "created a record: expected nothing left to do, saw price: wrote '25.00', reads '25.0'",
    ),
    broken.StaysOnSale: ("deactivate", "took a record off sale: expected no record with its id on sale, saw record "),
    broken.FailsOnGone: ("unknown-record", "sent DELETE of a record that is not there: expected 404 or 410, saw 500 "),
    broken.EmptyElsewhere: ("unknown-event", "sent GET of an event that is not there: expected 404, saw 200"),
}
"""Receivers with one fault each, a check that finds it, and the line that says so."""


async def report_of(kind: type[Any], lines: list[str], only: tuple[Check, ...] = CHECKS, **given: Any) -> Report:
    """A run on such a receiver; *lines* gets the line of each check."""

    def each(result: Result) -> None:
        lines.append(line(result))

    async with broken.serving(kind) as url:
        where = {"event": EVENT, "allow_http": True, "allow_private": True, **given}
        return await run(url, where.pop("secret", SECRET), each=each, only=only, **where)


async def test_the_reference_receiver_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver of docs/ passes all checks, those are skipped by name that it cannot show, and nothing stays on sale."""
    monkeypatch.setattr(receiver, "PAGE", 10)
    lines: list[str] = []
    report = await report_of(receiver.Receiver, lines)

    assert [] == [one for one in lines if one.startswith("failed")]
    assert {
        "deactivate-sold",
        "delete-sold",
        "deactivate-gone",
        "two-with-one-id",
        "a-copy-elsewhere",
        "only-what-is-named",
        "only-when-created",
        "limit-below-sold",
        "removed-option-that-sold",
    } == {one.check.name for one in report.results if one.verdict is Verdict.SKIPPED}
    assert len(CHECKS) == len(lines) == len(report.results)
    assert (10, 0, ()) == (report.page, report.on_sale, report.set_aside)
    assert all("\n" not in one for one in lines)


@pytest.mark.parametrize("kind", BROKEN, ids=[one.__name__ for one in BROKEN])
async def test_a_broken_receiver_is_told_so(kind: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver with one fault fails a check that names it in one line."""
    monkeypatch.setattr(receiver, "PAGE", 10)
    name, text = BROKEN[kind]
    lines: list[str] = []
    report = await report_of(kind, lines, only=(NAMED[name],))

    assert 1 == report.count(Verdict.FAILED)
    assert lines[0].startswith(f"failed  {name:<30} {text}")


async def test_a_field_that_is_not_kept_fails_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that is not stored fails one check: the others leave it out, and the report says so."""
    monkeypatch.setattr(receiver, "PAGE", 10)
    only = tuple(NAMED[name] for name in ("created-values", "bring-again", "each-field-alone", "limits"))
    report = await report_of(broken.DropsLimits, [], only=only)

    assert ["created-values"] == [one.check.name for one in report.results if one.verdict is Verdict.FAILED]
    assert "not kept, and so left out of most checks: limit" in list(summary(report))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"event": "none"}, "404: there is no event none"),
        ({"secret": "whsec_bm90IHRoZSBzZWNyZXQgb2YgdGhpcyBzeXN0ZW0h"}, "401: signature"),
        ({"allow_private": False}, "private address"),
    ],
)
async def test_a_run_that_cannot_begin(given: dict[str, Any], says: str) -> None:
    """Without an event, a right secret and an address that may be called nothing is checked."""
    with pytest.raises(NotStarted, match=says):
        await report_of(receiver.Receiver, [], **given)


async def test_summary() -> None:
    """After the last check stand the table of abilities, what was seen, what is left on sale, and the sum."""
    report = await report_of(broken.NoDelete, [], only=(NAMED["create-and-find"], NAMED["deactivate-sold"]))
    lines = list(summary(report))

    assert "| Spring Gala | 4 | yes | no | yes |" == lines[1].splitlines()[-1]
    assert ["currency: EUR", "page: 100 records"] == lines[3:5]
    assert lines[5].startswith("still on sale: 10")
    assert "1 passed, 0 failed, 1 skipped" == lines[-1]


def test_lines_control_no_terminal() -> None:
    """What a system says stands on one line without control characters."""
    text = line(Result(NAMED["unsigned"], Verdict.FAILED, "saw 500 \x1b[2J\nbug"))

    assert f"failed  {'unsigned':<30} saw 500  [2J bug" == text
