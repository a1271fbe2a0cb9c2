from server.doctor.finding import Finding
from server.doctor.page_findings import findings
from server.doctor.page_seen import Element, Frame, Seen
from tests.rig.doctor import faults, levels
from tests.rig.raw_server import answer, raw_server
from tests.rig.redis import free_port

PAGE = "https://www.example.org/gala"
SCRIPT = "https://tickets.example.org/widget/v1/ticket-counter.js"
SHOWN = Element("a", "", "", "available")


async def found_in(*frames: Frame, fault: str = "", **answers: str) -> list[Finding]:
    seen = Seen(PAGE, fault, frames, {SCRIPT: "200", **answers}, ("<ticket-counter>: no such ticket",))
    return [one async for one in findings(seen)]


def frame(
    *scripts: str, elements: tuple[Element, ...] = (SHOWN,), violations: tuple[str, ...] = (), url: str = PAGE
) -> Frame:
    return Frame(url, "https://www.example.org", scripts, elements, bool(scripts), violations)


async def test_scripts_of_two_servers() -> None:
    """Scripts of two servers are a fault, as one of them wins by chance."""
    other = SCRIPT.replace("tickets", "old")
    (fault,) = faults(await found_in(frame(SCRIPT, other), **{other: "200"}))

    assert "loaded from 2 servers: https://old.example.org, https://tickets.example.org" in fault


async def test_elements_and_scripts_that_are_missing() -> None:
    """An element without a script, a script without an element, and an element without a ticket are faults; a frame is named."""
    inner = "https://www-example-org.filesusr.com/html/1.html"
    no_ticket = Element("", "", "", "")

    assert ["there is an element, and no script"] == faults(await found_in(frame()))
    assert [f"there is the script, and no element (in the frame {inner})"] == faults(
        await found_in(frame(SCRIPT, elements=(), url=inner))
    )
    assert ["an element has no attribute `ticket`"] == faults(await found_in(frame(SCRIPT, elements=(no_ticket,))))


async def test_ticket_that_is_gone() -> None:
    """A ticket that is gone is a notice beside one that is shown, which alone is counted, and a fault where it is the only one."""
    gone = Element("b", "", "", "gone")

    both = await found_in(frame(SCRIPT, elements=(SHOWN, gone)))
    assert ["notice", "ok"] == levels(both)
    assert "counters that are shown: 1 (available)" == both[1].what
    assert ["fault"] == levels(await found_in(frame(SCRIPT, elements=(gone,))))


async def test_script_whose_name_is_misspelt() -> None:
    """A script of our server that is answered 404 is told with how its address ends."""
    misspelt = SCRIPT.replace("ticket-counter", "ticketcounter")
    blank = Element("a", "", "", "")
    seen = Seen(PAGE, "", (Frame(PAGE, "https://www.example.org", (misspelt,), (blank,)),), {misspelt: "404"})

    told = [one async for one in findings(seen)]
    assert f"the script {misspelt} does not come: 404" == faults(told)[0]
    assert "/widget/v1/ticket-counter.js" in told[0].cure


async def test_counter_that_shows_nothing() -> None:
    """A counter that shows nothing for no other reason is told with the widget's own warning; a server that is away is the reason."""
    away = f"http://127.0.0.1:{free_port()}"
    (reached,) = faults(await found_in(frame(SCRIPT, elements=(Element("a", "", away, ""),))))

    assert f"the server {away} cannot be reached: it refuses connections" == reached

    async with raw_server(answer(200, b"{}")) as there:
        (told,) = faults(await found_in(frame(SCRIPT, elements=(Element("a", "s", there.url, ""),))))
    assert "counters that show nothing: 1 of 1; <ticket-counter>: no such ticket" == told

    async with raw_server(answer(404, b"no")) as there:
        (told,) = faults(await found_in(frame(SCRIPT, elements=(Element("a", "s", there.url, ""),))))
    assert "ticket a: 404 no" == told


async def test_script_of_another_program() -> None:
    """What is answered 200 and defines no element is not the script."""
    wrong = Frame(PAGE, "https://www.example.org", (SCRIPT,), (SHOWN,), False)

    assert "is not the script of the counter" in faults(await found_in(wrong))[0]


def of_event(server: str = "", *, state: str = "", event: str = "gala") -> Element:
    return Element("", "", server, state, event)


async def test_element_of_an_event() -> None:
    """An element of an event needs no ticket; the server is asked for the event, and what it refuses is told in the event's name."""
    async with raw_server(answer(200, b"{}"), answer(200, b"{}")) as there:
        good = Frame(PAGE, "https://www.example.org", (SCRIPT,), (of_event(there.url), SHOWN), True, (), True)
        (known, counted) = await found_in(good)
        old = Frame(PAGE, "https://www.example.org", (SCRIPT,), (of_event(there.url),), defined=True)
        (unknown,) = await found_in(old)
    async with raw_server(answer(404, b"no such event")) as there:
        wrong = Frame(PAGE, "https://www.example.org", (SCRIPT,), (of_event(there.url),), True, (), True)
        (refused,) = await found_in(wrong)

    assert ("ok", "elements of events whose tickets the server has: 1") == (known.level, known.what)
    assert "counters that are shown: 1 (available)" == counted.what
    assert "notice" == unknown.level
    assert "an element names event gala, and the script on this page does not say that it knows" in unknown.what
    assert ("fault", "event gala: 404 no such event") == (refused.level, refused.what)


async def test_states_of_an_event() -> None:
    """An element of an event that says a state is counted as any other; one that is gone is told as an event."""
    shown = await found_in(frame(SCRIPT, elements=(of_event(state="low"),)))
    (gone,) = await found_in(frame(SCRIPT, elements=(of_event(state="gone"),)))

    assert ["counters that are shown: 1 (low)"] == [one.what for one in shown]
    assert "event gala is gone: Wix has no such event, or does not show it" == gone.what
    assert "`ticket-counter events`" in gone.cure


async def test_page_that_does_not_open() -> None:
    """A page that does not open is a fault with the reason."""
    assert [f"the page {PAGE} does not open: it is answered 404"] == faults(await found_in(fault="it is answered 404"))
