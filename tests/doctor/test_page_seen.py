from server.doctor.page_seen import Element, Frame

PAGE = "https://www.example.org/gala"
SCRIPT = "https://tickets.example.org/widget/v1/ticket-counter.js"


def test_answers_of_the_browser() -> None:
    """What a page answers is read as texts and flags, whatever it is."""
    element = {"ticket": "a", "site": "", "server": "", "state": "low", "event": 5}
    answer = {
        "scripts": [SCRIPT],
        "elements": [element],
        "defined": 1,
        "knowsEvents": 0,
        "violations": [3],
        "origin": "null",
    }

    found = Frame.read(PAGE, answer)

    assert Frame(PAGE, "null", (SCRIPT,), (Element("a", "", "", "low", "5"),), True, ("3",)) == found
    assert found.knows_events is False


def test_what_an_element_asks_for() -> None:
    """An element asks for its ticket, or for its event, with its site where it names one."""
    ticket, event = Element("a", "s", "", ""), Element("", "", "", "", "gala")

    assert ("ticket a", {"ticket": "a", "site": "s"}) == (ticket.named, ticket.query)
    assert ("event gala", {"event": "gala"}) == (event.named, event.query)


def test_what_an_element_shows() -> None:
    """An element shows something in each state but an unknown one, and without any."""
    assert [False, False, True, True] == [Element("a", "", "", state).shows for state in ("", "unknown", "low", "gone")]
