import pytest

from server.sync import targets
from server.sync.targets import CLASSES, KINDS
from server.sync.targets.target import Abilities


@pytest.mark.parametrize("kind", CLASSES)
def test_each_kind_has_its_class(kind: str) -> None:
    """The class of a kind is the one that its line names, and says what it can do."""
    found = KINDS[kind]

    assert CLASSES[kind] == f"{found.__module__}:{found.__qualname__}"
    assert isinstance(found.abilities, Abilities)  # type: ignore[attr-defined]


def test_a_line_that_names_no_class() -> None:
    """A line with a name that is not there is told when the server starts, and not when a ticket is due."""
    with pytest.raises(AttributeError, match="Nothing"):
        targets._class("server.sync.targets.target:Nothing")
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        targets._class("server.sync.targets.nowhere:Target")
