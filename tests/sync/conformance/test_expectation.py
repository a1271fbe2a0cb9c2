import pytest

from server.sync.conformance.expectation import LONGEST, Unmet, brief, expect


def test_met() -> None:
    """An expectation that is met raises nothing."""
    expect(True, "made one", "one", "one")


def test_unmet() -> None:
    """One that is not met says what was done, what was expected and what was seen."""
    with pytest.raises(Unmet, match="^made one: expected one, saw 2$"):
        expect(False, "made one", "one", 2)


def test_brief() -> None:
    """A value is shown on one line, and a long one is cut."""
    assert r"'a\nb'" == brief("a\nb")
    assert LONGEST == len(brief("x" * 500))
    assert "…" == brief("x" * 500)[-1]
