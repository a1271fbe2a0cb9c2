import pytest

from server.doctor import page_errors
from server.doctor.page_seen import Element, Frame, Seen

PAGE = "https://www.example.org/gala"
SCRIPT = "https://tickets.example.org/widget/v1/ticket-counter.js"


def of_frame(*scripts: str, server: str = "", violations: tuple[str, ...] = (), page: str = PAGE) -> list[str]:
    """What is wrong with a page of one element."""
    frame = Frame(page, "https://www.example.org", scripts, (Element("a", "", server, ""),), True, violations)
    return [one.what for one in page_errors.of_frame(Seen(page), frame, " (here)")]


@pytest.mark.parametrize("insecure", ["http://tickets.example.org", "http://192.168.1.7:8000"])
def test_mixed_content(insecure: str) -> None:
    """In a page of https, a script over http and a server over http are mixed content, each told once."""
    script = f"{insecure}/widget/v1/ticket-counter.js"
    (loaded,) = of_frame(script, script)
    (connected,) = of_frame(SCRIPT, server=insecure)

    assert f"its script {script} is not: a browser does not load it (mixed content)" in loaded
    assert f"the attribute `server` of an element is {insecure}: a browser does not connect there" in connected


@pytest.mark.parametrize(
    ("page", "server"),
    [
        (PAGE, "https://tickets.example.org"),
        (PAGE, "http://127.0.0.1:8000"),
        (PAGE, "http://localhost:8000"),
        (PAGE, "http://[::1]:8000"),
        (PAGE, ""),
        ("http://www.example.org/gala", "http://tickets.example.org"),
    ],
)
def test_no_mixed_content(page: str, server: str) -> None:
    """https, a loopback address, and a page that is http itself are none."""
    assert [] == of_frame(f"{server or 'https://a.example'}/widget/v1/ticket-counter.js", server=server, page=page)


@pytest.mark.parametrize(
    ("server", "blocked", "told"),
    [
        ("", SCRIPT, True),
        ("", "https://ads.example/x.js", False),
        ("https://b.example", "https://b.example/v1/counters", True),
        ("", "inline", False),
    ],
)
def test_refusals_of_the_policy(server: str, blocked: str, told: bool) -> None:
    """A refusal by the Content-Security-Policy counts, once, where it is about our server, and no other."""
    found = of_frame(SCRIPT, server=server, violations=(f"connect-src {blocked}",) * 2)

    text = f"the page's Content-Security-Policy refuses {blocked} (connect-src) (here)"
    assert ([text] if told else []) == found


OURS = f"TypeError: no\nTypeError: no\n    at render ({SCRIPT}:3:4)"
OTHER = "ReferenceError: jQuery is not defined\n    at https://cdn.example/shop.js:1:9"


def test_errors_of_scripts() -> None:
    """An error of our script is a fault; one of another script is told only where a counter shows nothing; each once, with its place."""
    seen = Seen(PAGE, errors=(OTHER, OURS, OTHER))

    ours, other = page_errors.of_scripts(seen, blank=True)
    (alone,) = page_errors.of_scripts(seen, blank=False)

    assert ("fault", f"the counter's own script fails on this page: TypeError: no (at render ({SCRIPT}:3:4))") == (
        ours.level,
        ours.what,
    )
    assert (ours.level, ours.what) == (alone.level, alone.what)
    assert ("visitors see no number on this page", "what visitors see of it may be wrong") == (ours.why, alone.why)
    assert (
        "notice",
        "another script of the page fails: ReferenceError: jQuery is not defined (at https://cdn.example/shop.js:1:9)",
    ) == (other.level, other.what)


def test_many_errors() -> None:
    """Of many errors the first ones are told, and of a long one the beginning; one without a place is told without."""
    every = tuple(f"Error {number} {'x' * 500}" for number in range(9))

    found = [one.what for one in page_errors.of_scripts(Seen(PAGE, errors=every), blank=True)]

    assert page_errors.MOST_ERRORS == len(found)
    assert all(len(what) < 300 and not what.endswith(")") for what in found)
