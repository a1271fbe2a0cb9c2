"""How each command of notify begins and ends: settings, and errors as lines, with --json as objects too.

In: what a command does. Out: what that answers; or the end of the program, with an exit status.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from server.cli import notify_json, notify_service
from server.cli.start import interruptible, read_settings
from server.cli.terminal import write
from server.errors import NotStarted, TicketCounterError
from server.settings import Settings

if TYPE_CHECKING:
    from server.notify.service import Notify

_T = TypeVar("_T")


class Group(TyperGroup):
    """The commands; with --json a wrong option is told as an object, too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Remember whether JSON is wanted, before anything can be wrong."""
        ctx.meta["json"] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except TyperException as error:
            if ctx.meta["json"]:
                write(notify_json.text({"error": getattr(error, "format_message", error.__str__)()}))
            raise


def run(work: Callable[["Notify"], Awaitable[_T]], interrupted: str, *, failed: str = "", json: bool = False) -> _T:
    """What *work* answers, with notify opened for it."""

    async def opened(settings: Settings) -> _T:
        async with notify_service.opened(settings) as notify:
            return await work(notify)

    return guarded(lambda settings: asyncio.run(opened(settings)), interrupted, failed=failed, json=json)


def guarded(
    work: Callable[[Settings], _T],
    interrupted: str,
    *,
    failed: str = "",
    json: bool = False,
    given: Mapping[str, Any] | None = None,
) -> _T:
    """What *work* answers; an error of ours ends the program with status 2, and Ctrl+C with 130, each with a line.

    *failed*: what such an error means for what was to be done. *given*: settings that win over the environment.
    """
    with interruptible(interrupted):
        try:
            return work(read_settings(True, **(given or {})))
        except TicketCounterError as error:
            text = f"{str(error).rstrip('.')}. {failed}" if failed and isinstance(error, NotStarted) else str(error)
            notify_json.refused(text, json=json)
            raise typer.Exit(2) from None


def wrong_settings() -> tuple[str, Mapping[str, Any]]:
    """What is wrong with the settings, and those to go on with; with others than notify's nothing can be done."""
    try:
        read_settings(True)
    except TicketCounterError as error:
        return str(error), notify_service.WITHOUT
    return "", {}


def answer(found: Mapping[str, Any], lines: Iterable[str], *, json: bool) -> None:
    """Print what was found: as one object with *json*, else these lines."""
    if json:
        write(notify_json.text(found))
        return
    for line in lines:
        write(line)
