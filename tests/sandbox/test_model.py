import pytest

from sandbox.model import CLOSED_BECAUSE, Price, Pricing, Registration, RegistrationStatus, Ticket


def ticket(value: str = "10.00", pricing: Pricing = Pricing.FIXED, limit: int | None = 10) -> Ticket:
    prices = (Price(value, "USD"),)
    return Ticket("t", "e", "other", "Seat", pricing, prices, limit, 0.0, 0.0, 1, sold=7, reserved=2)


@pytest.mark.parametrize(("limit", "left"), [(10, 1), (9, 0), (5, 0), (None, None)])
def test_left_is_neither_sold_nor_held(limit: int | None, left: int | None) -> None:
    """What is left is never below zero, and None without limit."""
    assert left == ticket(limit=limit).left


@pytest.mark.parametrize(
    ("value", "pricing", "free"),
    [
        ("0", Pricing.FIXED, True),
        ("0.00", Pricing.FIXED, True),
        ("0.01", Pricing.FIXED, False),
        ("0", Pricing.GUEST, False),
        ("0", Pricing.OPTIONS, False),
    ],
)
def test_free_ticket(value: str, pricing: Pricing, *, free: bool) -> None:
    """A ticket is free if its fixed price is zero, however that is written."""
    assert free is ticket(value, pricing).free


@pytest.mark.parametrize(
    ("registration", "status", "sells"),
    [
        (Registration(), "OPEN_TICKETS", True),
        (Registration(paused=True), "OPEN_TICKETS", False),
        (Registration(disabled=True), "CLOSED_MANUALLY", False),
        (Registration(sold_out=True), "CLOSED_AUTOMATICALLY", False),
        (Registration(disabled=True, sold_out=True), "CLOSED_MANUALLY", False),
        (Registration(disabled=True, override="OPEN_TICKETS"), "OPEN_TICKETS", True),
        (Registration(override="CLOSED_MANUALLY"), "CLOSED_MANUALLY", False),
        (Registration(override="OPEN_RSVP"), "OPEN_RSVP", False),
        (Registration(override="SCHEDULED_RSVP"), "SCHEDULED_RSVP", False),
        (Registration(override="OPEN_EXTERNAL"), "OPEN_EXTERNAL", False),
        (Registration(override="UNKNOWN_REGISTRATION_STATUS"), "UNKNOWN_REGISTRATION_STATUS", True),
        (Registration(override="UNKNOWN_REGISTRATION_STATUS", disabled=True), "UNKNOWN_REGISTRATION_STATUS", False),
        (Registration(override="OPEN_LATER"), "OPEN_LATER", True),
        (Registration(override="OPEN_LATER", paused=True), "OPEN_LATER", False),
    ],
)
def test_registration_sells_tickets_while_open(registration: Registration, status: str, *, sells: bool) -> None:
    """Tickets are sold while the status is OPEN_TICKETS and not paused; an unknown status changes nothing."""
    assert (status, sells) == (registration.status, registration.closed_because is None)


def test_each_status_but_open_has_its_words() -> None:
    """Each of Wix's statuses either sells tickets or has words why not."""
    wordless = {RegistrationStatus.OPEN_TICKETS, RegistrationStatus.UNKNOWN}

    assert set(RegistrationStatus) - wordless == CLOSED_BECAUSE.keys()
