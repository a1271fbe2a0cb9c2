"""`ticket-counter sync conformance URL`: all checks that can be made from outside, on a system that speaks docs/http-target.md.

In: an address, its secret, and an event of the system that is there for tests. Out: each Result when it is known, and a Report.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from server.errors import NotStarted, TargetError
from server.model import TicketId
from server.sync.conformance import ids, records, stops, values, wire
from server.sync.conformance.check import Check, Result, Verdict, run_check
from server.sync.conformance.http_bench import HttpBench, http_settings
from server.sync.conformance.table import table
from server.sync.mapping import TargetSettings
from server.sync.model import TargetEvent
from server.sync.targets.target import Abilities

OURS = {"lost-lease", "each-request-is-paid", "no-request-without-budget"}
"""Checks that say something of our side only."""

CHECKS: tuple[Check, ...] = (
    *wire.CHECKS,
    *records.CHECKS,
    *ids.CHECKS,
    *values.CHECKS,
    *(one for one in stops.CHECKS if one.name not in OURS),
)
"""The checks of a run, in their order."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a run has found.

    `page`: how many records the system's list has on a page, None where all were on one. `set_aside`: fields that it does not keep at
    all, so that most checks have not compared them. `on_sale`: how many records of the checks could not be taken off sale.
    """

    event: TargetEvent
    abilities: Abilities
    results: tuple[Result, ...]
    page: int | None
    set_aside: tuple[str, ...]
    on_sale: int

    def count(self, verdict: Verdict) -> int:
        """How many checks ended so."""
        return sum(one.verdict is verdict for one in self.results)


async def run(
    url: str,
    secret: str,
    *,
    event: str,
    allow_http: bool = False,
    allow_private: bool = False,
    each: Callable[[Result], None],
    only: Sequence[Check] = CHECKS,
) -> Report:
    """Run all checks on one event of the system, *each* as it ends, and take the records that they made off sale.

    Raises NotStarted where it cannot begin: an address or secret that cannot be used, or an event that is not answered.
    """
    settings = http_settings(url, secret, event=event, allow_http=allow_http, allow_private=allow_private)
    made: dict[TicketId, str | None] = {}
    try:
        async with aclosing(HttpBench(settings, event)) as bench:
            made = bench.made
            try:
                found = await bench.target.event(event)
                await bench.measure_page()
            except TargetError as error:
                raise NotStarted(f"the checks cannot begin: {error}") from error
            results = []
            for one in only:
                results.append(await run_check(one, bench))
                each(results[-1])
    finally:
        left = await _clean_up(settings, event, made)
    return Report(found, bench.target.abilities, tuple(results), bench.page, tuple(sorted(bench.set_aside)), left)


def line(result: Result) -> str:
    """A result as a line of text."""
    said = result.check.about if result.verdict is Verdict.PASSED else result.text
    if result.verdict is Verdict.SKIPPED:
        said = f"it does not offer {said}"
    return _printable(f"{result.verdict:<7} {result.check.name:<30} {said}")


def summary(report: Report) -> Iterator[str]:
    """What is said after the last check."""
    yield ""
    yield table({_printable(report.event.name or report.event.key): report.abilities})
    yield ""
    yield f"currency: {_printable(report.event.currency or 'none of its own')}"
    yield "page: " + ("all records were on one" if report.page is None else f"{report.page} records")
    if report.set_aside:
        yield f"not kept, and so left out of most checks: {', '.join(report.set_aside)}"
    if report.on_sale:
        yield f"still on sale: {report.on_sale} of the records that the checks have made"
    yield ", ".join(f"{report.count(verdict)} {verdict}" for verdict in Verdict)


def _printable(text: str) -> str:
    """What the system has said, on one line, so that it controls no terminal."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


async def _clean_up(settings: TargetSettings, event: str, made: dict[TicketId, str | None]) -> int:
    """Over connections of its own: a run that was interrupted may have left the others unusable."""
    async with aclosing(HttpBench(settings, event)) as bench:
        bench.made = made
        return await bench.take_off_sale()
