"""What a check found: of one thing, whether it is right, and if not, why that matters and what to do."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is: right; worth knowing, though it may be meant so; or a fault, which someone has to mend."""

    OK = "ok"
    NOTICE = "notice"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` says what was looked at, such as "redis"; `what` was found, `why` it matters, and its `cure`."""

    check: str
    level: Level
    what: str
    why: str = ""
    cure: str = ""

    @classmethod
    def ok(cls, check: str, what: str) -> "Finding":
        """Something that is right."""
        return cls(check, Level.OK, what)

    @classmethod
    def notice(cls, check: str, what: str, why: str = "", cure: str = "") -> "Finding":
        """Something that is worth knowing."""
        return cls(check, Level.NOTICE, what, why, cure)

    @classmethod
    def fault(cls, check: str, what: str, why: str = "", cure: str = "") -> "Finding":
        """Something that someone has to mend."""
        return cls(check, Level.FAULT, what, why, cure)

    def json(self) -> Mapping[str, str]:
        """The members of its JSON object: all are texts, and those without a value are empty."""
        return {name: str(value) for name, value in asdict(self).items()}
