import pytest

from server.errors import BadRequest, NoSiteYet, UnknownSite
from server.live.request import resolve
from server.model import SiteId, TicketId
from server.wire import Wanted

ONE = SiteId("5f0e4d3c-1111-4111-8111-00000000b001")
TWO = SiteId("5f0e4d3c-1111-4111-8111-00000000b002")
TICKETS = (TicketId("11111111-aaaa-4aaa-8aaa-000000000001"), TicketId("22222222-aaaa-4aaa-8aaa-000000000002"))


def test_named_site() -> None:
    """A request that names a known site gets it, with its tickets in their order."""
    assert (TWO, TICKETS) == resolve(Wanted(TWO, TICKETS), {ONE, TWO})


def test_only_site() -> None:
    """While one site is known it need not be named."""
    assert (ONE, TICKETS) == resolve(Wanted(None, TICKETS), {ONE})


@pytest.mark.parametrize("site", [None, ONE])
def test_no_site_yet(site: SiteId | None) -> None:
    """While no site is known at all nobody is sent away for good: Redis may be new, or have lost its data."""
    with pytest.raises(NoSiteYet):
        resolve(Wanted(site, TICKETS), set())


def test_site_needed() -> None:
    """With more than one site the request has to name its own; the error says how."""
    with pytest.raises(BadRequest, match="add &site=<app instance id>") as caught:
        resolve(Wanted(None, TICKETS), {ONE, TWO})

    assert "site" == caught.value.field


def test_unknown_site() -> None:
    """A site that is not ours is unknown, however many are."""
    with pytest.raises(UnknownSite, match=TWO):
        resolve(Wanted(TWO, TICKETS), {ONE})
