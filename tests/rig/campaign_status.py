"""What the command says of a campaign, as values."""

from dataclasses import dataclass
from typing import Any

ENDS = ("sent", "failed", "skipped", "unknown")
"""What may become of a recipient."""


@dataclass(frozen=True, slots=True)
class Told:
    """What `notify status CAMPAIGN` says: as text, as JSON, and with --exit-code."""

    text: str
    json: Any
    status: int

    @property
    def mail(self) -> Any:
        """The channel."""
        return self.json["channels"]["mail"]

    @property
    def reasons(self) -> Any:
        """By row's state and reason, how many."""
        return self.json["reasons"]["mail"]

    @property
    def counts(self) -> dict[str, int]:
        """Recipients by what became of them, those that are not none."""
        return {name: self.mail[name] for name in ENDS if self.mail[name]}

    @property
    def not_sent(self) -> int:
        """Recipients without an end."""
        return int(self.mail["candidates"]) - sum(int(self.mail[name]) for name in ENDS)
