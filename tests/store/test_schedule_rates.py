import math
import random
from statistics import median

import pytest

from server.model import TicketId
from tests.rig.percentile import percentile
from tests.rig.simulated_worker import SimulatedWorker
from tests.rig.stored_site import StoredSite
from tests.rig.wix_calls import most_in_a_minute

TICKETS = [TicketId(f"ticket-{number}") for number in range(300)]


def orders(rate: float, seconds: float, tickets: int, seed: int = 1) -> list[tuple[float, TicketId]]:
    """Orders at random times (a Poisson process), so many a second in the mean, each of a random ticket."""
    dice = random.Random(seed)
    found, at = [], 0.0
    while (at := at + dice.expovariate(rate)) < seconds:
        found.append((at, dice.choice(TICKETS[:tickets])))
    return found


@pytest.fixture
async def worker(site: StoredSite) -> SimulatedWorker:
    """A worker of a site whose bucket is full."""
    await site.passes(10)
    return SimulatedWorker(site)


async def test_rush_on_one_ticket_costs_six_calls(worker: SimulatedWorker) -> None:
    """Law 4: A thousand orders of one ticket within a second cost 6 calls: 3 in that second, and those 2, 8 and 30 s later."""
    await worker.trade([(number / 1000, TICKETS[0]) for number in range(1000)], 40)

    # If this machine takes longer than a second to place them, each further half of a second that begins is a read more.
    assert 6 <= len(worker.calls) <= 6 + math.ceil(2 * worker.late)
    assert 0.5 <= worker.closest_reads
    assert 0.5 + worker.late >= percentile(worker.delays, 0.99)


@pytest.mark.parametrize(("within", "most"), [(0.0, 17), (1.0, 24)], ids=["at once", "within a second"])
async def test_rush_on_300_tickets_costs_few_calls(worker: SimulatedWorker, within: float, most: int) -> None:
    """Law 4: A thousand orders over 300 tickets cost 12 to 17 calls if they come at once, and 24 within a second."""
    dice = random.Random(2)
    await worker.trade([(within * number / 1000, dice.choice(TICKETS)) for number in range(1000)], 40)

    assert 12 <= len(worker.calls) <= most + 6 * worker.late
    assert 0.5 <= worker.closest_reads
    assert 1000 == len(worker.delays)


@pytest.mark.parametrize("latency", [0.0, 0.2])
@pytest.mark.parametrize(("rate", "middle", "longest"), [(4, 0.14, 0.5), (2, 0.02, 0.5)])
async def test_orders_are_read_quickly(
    worker: SimulatedWorker, latency: float, rate: float, middle: float, longest: float
) -> None:
    """Four orders a second on 40 tickets are read after 0.12 s in the median, two at once, nearly all within half a second."""
    worker.latency = latency

    await worker.trade(orders(rate, 90, 40), 95)

    assert middle >= median(worker.delays)
    assert longest >= percentile(worker.delays, 0.99)
    assert 182 >= most_in_a_minute(worker.calls)
    assert 0.5 <= worker.closest_reads


@pytest.mark.parametrize(("rate", "tickets"), [(8, 300), (20, 40)])
async def test_most_calls_in_a_minute(worker: SimulatedWorker, rate: float, tickets: int) -> None:
    """Law 5: However many orders come, no minute has more calls than two of the burst and the 180 of its refill."""
    await worker.trade(orders(rate, 70, tickets), 75)

    assert 170 <= most_in_a_minute(worker.calls) <= 182
    assert 0.5 <= worker.closest_reads


async def test_waits_are_exact(worker: SimulatedWorker) -> None:
    """A worker asks for a claim after each order and each read, once a second, and when a wait ends: in vain once at most."""
    placed = orders(3, 60, 40)

    await worker.trade(placed, 60)

    assert worker.claims <= len(placed) + 2 * len(worker.calls) + 60
