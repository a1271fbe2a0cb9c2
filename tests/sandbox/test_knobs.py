import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sandbox.errors import Invalid
from sandbox.knobs import Knobs, LiveKnobs


def test_turn_changes_only_the_named_knobs() -> None:
    """A turned knob changes at once everywhere, and the others stay."""
    live_knobs = LiveKnobs(Knobs(loss=0.5))

    live_knobs.turn(duplicates=1.0, outage="hang")

    assert (0.5, 1.0, "hang") == (live_knobs.now.loss, live_knobs.now.duplicates, live_knobs.now.outage)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss", 1.5),
        ("loss", True),
        ("duplicates", "often"),
        ("outage", "418"),
        ("stale_reads", 61.0),
        ("retry_after", -1),
        ("hold_seconds", 0),
        ("read_delay", float("nan")),
        ("bearer", "yes"),
        ("no_such_knob", 1),
    ],
)
def test_invalid_turn_names_the_knob(name: str, value: Any) -> None:
    """An invalid value is refused with the knob's name, and nothing is turned."""
    live_knobs = LiveKnobs()

    with pytest.raises(Invalid) as caught:
        live_knobs.turn(rate_limit=7, **{name: value})

    assert name == caught.value.field
    assert Knobs() == live_knobs.now


def test_knobs_are_immutable() -> None:
    """Knobs are frozen, so a reader has one consistent state."""
    with pytest.raises(ValidationError):
        setattr(LiveKnobs().now, "loss", 1.0)  # noqa: B010 - mypy would refuse the plain form


def test_every_knob_is_in_the_readme() -> None:
    """The sandbox's README has each knob with its default and what it does."""
    readme = (Path(__file__).parent.parent.parent / "sandbox" / "README.md").read_text()
    rows = [
        f"| `{name}` | `{json.dumps(field.default)}` | {field.description} |"
        for name, field in Knobs.model_fields.items()
    ]

    assert [] == [row for row in rows if row not in readme]
