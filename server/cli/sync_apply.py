"""`sync apply`: shows the plan and asks, plans again, does what was approved, and says what became of it.

In: settings, and what a person approved. Out: text or JSON on standard output, a progress bar on standard error where that is a
terminal, and an exit status.
"""

import asyncio
import logging
import signal
import sys
import threading
import time
from dataclasses import dataclass, replace
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from server.cli import plan_text, status_text, sync_json, sync_service, table, values
from server.cli.start import print_error
from server.cli.terminal import Terminal, write
from server.errors import NotStarted
from server.settings import Settings
from server.sync.mapping import Mode, TargetSettings
from server.sync.model import Outcome, Plan

DONE, PERSON_NEEDED = 0, 4
WRITTEN = "what was written stays, and the same command goes on from there, without doubles"
"""What a person should know who interrupts what writes."""
NAME_WIDTH = 24


@dataclass(frozen=True, slots=True)
class Approval:
    """What a person has approved: the plan of this digest, or with *yes* any; and what else may be done."""

    digest: str | None
    yes: bool = False
    adopt: bool = False
    replace: tuple[str, ...] = ()
    deactivate: int | None = None


def apply_plan(
    settings: Settings, approval: Approval, event: str, *, to: str | None, site: str | None, json: bool
) -> int:
    """Do it, and return the exit status. Raises NotStarted where there is nobody to ask, and what planning and writing raise.

    KeyboardInterrupt says whether something may have been written.
    """
    if approval.digest is None and not approval.yes:
        if json or not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise NotStarted(
                "nothing was written: where no terminal can ask, add --plan DIGEST with the digest that "
                "`ticket-counter sync plan` prints, or --yes"
            )
        try:
            digest = asyncio.run(_show(settings, event, to, site))
            agreed = _agreed()
        except KeyboardInterrupt:
            raise KeyboardInterrupt("nothing was written") from None
        if not agreed:
            write("Nothing was written.")
            return PERSON_NEEDED
        approval = replace(approval, digest=digest)
    try:
        return asyncio.run(_apply(settings, approval, event, to, site, json=json))
    except (Interrupted, asyncio.CancelledError):
        raise KeyboardInterrupt(WRITTEN) from None


async def _show(settings: Settings, event: str, to: str | None, site: str | None) -> str:
    """Print the plan, and answer its digest."""
    async with sync_service.opened(settings) as sync:
        target = _written(sync, to)
        plan = await sync.service.plan(target.name, event, site=site)
    _print_plan(plan, event, target)
    return plan.digest


def _print_plan(plan: Plan, event: str, target: TargetSettings) -> None:
    view = plan_text.View(Terminal.of_output(), values.Meaning.of(target), time.time())
    for line in plan_text.plan_lines(plan, event, view):
        write(line)


def _agreed() -> bool:
    print("\nDo it? [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201 - the question
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _written(sync: sync_service.Opened, to: str | None) -> TargetSettings:
    """The target; raises NotStarted where it is only observed."""
    target = sync.target(to)
    if target.mode is Mode.OBSERVE:
        raise NotStarted(f'{target.name} has mode = "observe" in SYNC_FILE, so nothing is ever written to it')
    return target


async def _apply(
    settings: Settings, approval: Approval, event: str, to: str | None, site: str | None, *, json: bool
) -> int:
    async with sync_service.opened(settings) as sync:
        target = _written(sync, to)
        chosen = frozenset([str(await sync.ticket(one)) for one in approval.replace])
        plan = await sync.service.plan(target.name, event, site=site)
        if approval.digest is not None and approval.digest.lower() != plan.digest:
            return _refuse(plan, approval.digest, event, target, json=json)
        sync.service.attended.notice = print_error
        with Shown(plan, event, json=json) as shown, Interrupts() as interrupts:

            def progress(outcome: Outcome, done: int, total: int) -> None:
                shown.add(outcome, done, total)
                interrupts.stop_here()

            summary = await sync.service.apply(
                plan, adopt=approval.adopt, replace=chosen, deactivate=approval.deactivate, progress=progress
            )
    if json:
        write(sync_json.text(sync_json.summary(summary, plan)))
    else:
        for one in () if shown.lines else (*shown.noted, *summary.open):
            shown.print(one)
        for line in status_text.summary_lines(summary, target.name):
            write(line)
    return PERSON_NEEDED if summary.person_needed else DONE


def _refuse(plan: Plan, digest: str, event: str, target: TargetSettings, *, json: bool) -> int:
    """Say that the plan is another one by now: nothing was written."""
    if json:
        write(sync_json.text(sync_json.other_digest(plan)))
    else:
        _print_plan(plan, event, target)
    print_error(f"nothing was written: the plan is {plan.digest} by now, not {digest}. Look at it, and apply that one")
    return PERSON_NEEDED


class Interrupted(Exception):
    """A person has pressed Ctrl+C, and the operation at hand is done."""


class Interrupts:
    """Ctrl+C while an apply runs: it ends after the operation at hand, so that no other process has to wait for that.

    A second Ctrl+C ends it at once; the next process that writes that ticket waits until its claim has ended.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._asked = False

    def __enter__(self) -> Self:
        # In tests commands run in threads, which get no signals.
        if threading.current_thread() is threading.main_thread():
            self._loop.add_signal_handler(signal.SIGINT, self.interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            self._loop.remove_signal_handler(signal.SIGINT)

    def interrupt(self) -> None:
        """What Ctrl+C does."""
        if self._asked and self._task is not None:
            self._task.cancel()
        self._asked = True
        print_error("stopping after the ticket at hand; Ctrl+C again stops at once")

    def stop_here(self) -> None:
        """Between two operations: raises Interrupted if that was asked for."""
        if self._asked:
            raise Interrupted


class Shown:
    """Shows each outcome as it comes: a line on standard output, or only a bar where that is the same terminal.

    `lines`: whether there are lines. `noted`: what was done, and of which a person should know more than that.
    """

    def __init__(self, plan: Plan, event: str, *, json: bool) -> None:
        self._json = json
        self._plan = plan
        self._outcomes = status_text.Outcomes(plan.operations, plan.target, event, Terminal.of_output())
        self.noted: list[Outcome] = []
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
        self.lines = json or self._bar is None or not sys.stdout.isatty()

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._task = self._bar.add_task("".ljust(NAME_WIDTH), total=len(self._plan.operations))
            self._bar.start()
            # Log lines are printed above the bar, and not into it.
            for handler in logging.getLogger().handlers:
                if isinstance(handler, logging.StreamHandler):
                    handler.setStream(sys.stderr)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            for handler in logging.getLogger().handlers:
                if isinstance(handler, logging.StreamHandler):
                    handler.setStream(sys.stderr)

    def add(self, outcome: Outcome, done: int, total: int) -> None:
        """One operation more is done, or was tried."""
        if self._bar is not None:
            name = table.cut(values.printable(outcome.operation.name), NAME_WIDTH)
            self._bar.update(self._task, description=table.pad(name, NAME_WIDTH), completed=done, total=total)
        if outcome.state in status_text.DONE and outcome.text:
            self.noted.append(outcome)
        if self.lines:
            self.print(outcome)

    def print(self, outcome: Outcome) -> None:
        """Print what became of one operation."""
        if self._json:
            write(sync_json.text(sync_json.outcome(outcome, self._plan.target, self._plan.event)))
        else:
            for line in self._outcomes.lines(outcome):
                write(line)
