"""What a check is, and how it passes, fails in one line, or is skipped by name."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from server.errors import TicketCounterError
from server.sync.conformance.bench import Bench
from server.sync.conformance.expectation import NotOffered, Unmet


class Verdict(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name, what the target must do, and the function that raises Unmet where it does not."""

    name: str
    about: str
    run: Callable[[Bench], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Result:
    """How one check ended; `text` says why it failed or was skipped."""

    check: Check
    verdict: Verdict
    text: str = ""


def check(run: Callable[[Bench], Awaitable[None]]) -> Check:
    """A function as a check: its name is the check's, the first line of its docstring says what the target must do."""
    name = run.__name__.replace("_", "-")
    return Check(name, (run.__doc__ or "").partition("\n")[0], run)


def checks(names: Mapping[str, object]) -> tuple[Check, ...]:
    """The checks among a module's names, in their order."""
    return tuple(one for one in names.values() if isinstance(one, Check))


async def run_check(one: Check, bench: Bench) -> Result:
    """Run one check; whatever it raises is its result."""
    try:
        await one.run(bench)
    except Unmet as error:
        return Result(one, Verdict.FAILED, str(error))
    except NotOffered as error:
        return Result(one, Verdict.SKIPPED, str(error))
    except TicketCounterError as error:
        return Result(one, Verdict.FAILED, f"expected no error, saw {type(error).__name__}: {error}")
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return Result(one, Verdict.FAILED, f"expected an answer as documented, saw what leads to {error!r}")
    return Result(one, Verdict.PASSED)
