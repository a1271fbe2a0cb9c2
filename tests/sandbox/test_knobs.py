import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sandbox.errors import Invalid
from sandbox.knobs import Knobs, LiveKnobs


def test_a_turn_changes_what_it_names() -> None:
    """What is turned is turned for everybody at once, and the rest stays."""
    board = LiveKnobs(Knobs(loss=0.5))

    board.turn(duplicates=1.0, outage="hang")

    assert (0.5, 1.0, "hang") == (board.now.loss, board.now.duplicates, board.now.outage)


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
def test_a_bad_turn_names_the_knob(name: str, value: Any) -> None:
    """A value that makes no sense is refused by the knob's name, and nothing is turned."""
    board = LiveKnobs()

    with pytest.raises(Invalid) as caught:
        board.turn(rate_limit=7, **{name: value})

    assert name == caught.value.field
    assert Knobs() == board.now


def test_nothing_turns_by_assignment() -> None:
    """Knobs are frozen: who read them holds one state of all."""
    with pytest.raises(ValidationError):
        setattr(LiveKnobs().now, "loss", 1.0)  # noqa: B010 - mypy would refuse the plain form


def test_every_knob_is_explained() -> None:
    """The sandbox's README has each knob with where it stands at first and what it does."""
    readme = (Path(__file__).parent.parent.parent / "sandbox" / "README.md").read_text()
    rows = [
        f"| `{name}` | `{json.dumps(field.default)}` | {field.description} |"
        for name, field in Knobs.model_fields.items()
    ]

    assert [] == [row for row in rows if row not in readme]
