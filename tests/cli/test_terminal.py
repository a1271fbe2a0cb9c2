import io
import sys

import pytest

from server.cli.terminal import Terminal, write

IDS = ["11111111-2222", "11111111-3333", "44444444-5555"]


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_no_terminal() -> None:
    """A file or a pipe has no width and no colours."""
    assert Terminal(None, colour=False) == Terminal.of(io.StringIO(), {})


@pytest.mark.parametrize(
    ("given", "colour"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)]
)
def test_colours(given: dict[str, str], colour: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal has its width, and colours unless NO_COLOR is set to something or it is a dumb one."""
    monkeypatch.setenv("COLUMNS", "77")

    assert Terminal(77, colour=colour) == Terminal.of(Screen(), given)


def test_output_is_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """What standard output is decides, with the environment of the process."""
    monkeypatch.setattr(sys, "stdout", Screen())
    monkeypatch.setenv("COLUMNS", "77")
    monkeypatch.setenv("NO_COLOR", "1")

    assert Terminal(77, colour=False) == Terminal.of_output()


def test_paint() -> None:
    """A text has a colour only where there are colours."""
    assert "\x1b[31mx\x1b[0m" == Terminal(80, colour=True).paint("x", "red")
    assert "x" == Terminal(80).paint("x", "red")


def test_short_ids() -> None:
    """Ids are short on a terminal as long as they can be told apart, and whole elsewhere."""
    assert [*IDS[:2], "44444444"] == [Terminal(80).short(IDS)[one] for one in IDS]
    assert IDS == [Terminal().short(IDS)[one] for one in IDS]
    assert {"44444444-5555": "44444444"} == Terminal(80).short([IDS[2], IDS[2]])


def test_write_to_a_narrow_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A character that the encoding of the output lacks is written as an escape, and does not end the program."""
    found = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(found, encoding="ascii"))

    write("a → b \ud800")

    assert b"a \\u2192 b \\ud800\n" == found.getvalue()
