import pytest

from sandbox.model import Price, Pricing, Ticket


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
