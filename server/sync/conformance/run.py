"""`ticket-counter sync conformance URL`: all checks that can be made from outside, on a system that speaks docs/http-target.md."""

from collections.abc import Callable, Sequence

from server.errors import NotStarted, TargetError
from server.sync.conformance import ids, records, stops, values, wire
from server.sync.conformance.check import Check, Result, Verdict, run_check
from server.sync.conformance.http_bench import HttpBench, http_settings
from server.sync.conformance.table import table

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

Report = Callable[[str], None]
"""Gets each line of the report."""


async def run(
    url: str,
    secret: str,
    *,
    event: str,
    allow_http: bool = False,
    allow_private: bool = False,
    report: Report,
    only: Sequence[Check] = CHECKS,
) -> int:
    """Run all checks on one event of the system, and take the records that they made off sale; answers how many have failed.

    Raises NotStarted where it cannot begin: an address or secret that cannot be used, or an event that is not answered.
    """
    settings = http_settings(url, secret, event=event, allow_http=allow_http, allow_private=allow_private)
    bench = HttpBench(settings, event)
    try:
        try:
            found = await bench.target.event(event)
            await bench.measure_page()
        except TargetError as error:
            raise NotStarted(f"conformance cannot begin: {error}") from error
        report(f"{url}, event {event} ({found.name}, {found.currency or 'no currency of its own'})")
        results = []
        for one in only:
            before = set(bench.set_aside)
            results.append(await run_check(one, bench))
            report(line(results[-1]))
            if new := bench.set_aside - before:
                report(f"{'':<7} {'':<30} not compared from here on: {', '.join(sorted(new))}")
        await _clean_up(bench, report)
    finally:
        await bench.aclose()
    counts = {verdict: sum(one.verdict is verdict for one in results) for verdict in Verdict}
    report("")
    report(table({"your system": bench.target.abilities}))
    report("")
    page = "not seen: its list had one page" if bench.page is None else f"{bench.page} records"
    report(f"page: {page}. " + ", ".join(f"{number} {verdict}" for verdict, number in counts.items()))
    return counts[Verdict.FAILED]


def line(result: Result) -> str:
    """A result as a line of the report."""
    said = result.check.about if result.verdict is Verdict.PASSED else result.text
    if result.verdict is Verdict.SKIPPED:
        said = f"not offered: {said}"
    return f"{result.verdict:<7} {result.check.name:<30} {said}"


async def _clean_up(bench: HttpBench, report: Report) -> None:
    if left := await bench.take_off_sale():
        report(f"{left} of the records that the checks have made could not be taken off sale.")
    else:
        report("The records that the checks have made are off sale.")
