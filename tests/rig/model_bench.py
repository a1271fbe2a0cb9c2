"""The model target as the suite of all targets sees it, with all that a bench can offer."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from server.sync.conformance.bench import Bench, Fault, Meter
from server.sync.conformance.check import Check, Verdict, run_check
from server.sync.mapping import Rule, TargetSettings
from server.sync.model import RecordOption
from tests.rig.model_target import Fault as ModelFault
from tests.rig.model_target import ModelTarget

FAULTS = {
    Fault.REFUSED: ModelFault.REFUSED,
    Fault.UNAUTHORIZED: ModelFault.UNAUTHORIZED,
    Fault.FORBIDDEN: ModelFault.FORBIDDEN,
    Fault.DOWN: ModelFault.UNAVAILABLE,
    Fault.LOST: ModelFault.LOST,
    Fault.LATE: ModelFault.LATE,
}

RULES = (
    Rule("name", source="name"),
    Rule("description", source="description"),
    Rule("price", source="price"),
    Rule("guest", source="guest_price", convert="is_set"),
    Rule("limit", source="limit"),
    Rule("start", source="sale.start"),
    Rule("end", source="sale.end"),
    Rule("shown", source="sale.shown_when_closed"),
    Rule("position", source="position"),
    Rule("active", source="hidden", convert="not"),
    Rule("about", source="description", initial=True),
)
"""Each field of a definition that a sales system may have."""

OPTIONS = (
    Rule("name", source="option.name"),
    Rule("price", source="option.price"),
    Rule("position", source="option.position"),
)


def model_settings(kind: str = "model", url: str = "model:", **own: Any) -> TargetSettings:
    """Settings of a target that has all fields."""
    secret = SecretStr("whsec_conformance")
    return TargetSettings("model", kind, url, secret, {"spring-gala": "ev1"}, RULES, OPTIONS, own=own)


class ModelBench(Bench):
    """The bench of the model."""

    faults = frozenset(FAULTS)
    target: ModelTarget

    def __init__(self, target: ModelTarget) -> None:
        meter = Meter()
        target.pay = meter.pay
        super().__init__(target, model_settings(), "ev1", meter)
        self.page = target.page

    async def other_event(self) -> str:
        """The model's second event."""
        return "ev2"

    async def by_hand(self, name: str) -> str:
        """A record with a name."""
        return self.target.put("ev1", name, {"name": name, "price": "5.00", "active": True})

    async def edit(self, key: str, fields: Mapping[str, Any]) -> None:
        """Other values."""
        self.target.edit("ev1", key, **fields)

    async def copy(self, key: str, event: str) -> str:
        """A copy with the id."""
        return self.target.copy("ev1", key, event)

    async def sell(self, key: str, option: str | None = None) -> None:
        """One order; the model asks only whether a record has any."""
        self.target.sell("ev1", key)

    async def add_unmapped(self, key: str) -> None:
        """What somebody else keeps in it, and an option that is not ours."""
        one = self.target.stored["ev1"][key]
        one.foreign["colour"] = "blue"
        one.options.append(RecordOption("by-hand", "", {"name": "Staff", "price": "0.00"}))

    async def unmapped(self, key: str) -> object:
        """The same, read again."""
        one = self.target.stored["ev1"][key]
        return dict(one.foreign), [replace(option) for option in one.options if not option.id]

    async def fail(self, fault: Fault, *, writes: bool) -> None:
        """The model's own fault of this kind."""
        self.target.next[writes] = FAULTS[fault]

    async def settled(self) -> None:
        """A late effect comes with further requests."""
        for _ in range(self.target.late + 1):
            await self.target.event("ev1")

    async def requests(self) -> int:
        """What the model has counted."""
        return self.target.requests


async def line_of(check: Check, target: ModelTarget) -> str:
    """The line with which a check fails on this target, or how it ended."""
    result = await run_check(check, ModelBench(target))
    return result.text if result.verdict is Verdict.FAILED else result.verdict
