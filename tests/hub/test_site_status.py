from server import metrics
from server.hub.site_status import SiteStatus
from server.model import SiteId, UnreportedFalls, WatchedSite

ONE, TWO = SiteId("one"), SiteId("two")
SILENT = WatchedSite("a", UnreportedFalls(3, 400.0, None))
HEARD = WatchedSite("b", None)


def heard(status: SiteStatus) -> bool:
    return status.webhooks_heard


def test_webhooks_are_heard_unless_a_site_is_silent() -> None:
    """Webhooks are heard while no site is silent; the metric counts the silent ones."""
    status = SiteStatus()
    assert heard(status)

    status.take(ONE, HEARD)
    status.take(TWO, SILENT)
    status.keep_only([ONE, TWO])
    assert not heard(status)
    assert 1 == metrics.silent_sites._value.get()

    status.take(TWO, HEARD)
    status.keep_only([ONE, TWO])
    assert heard(status)
    assert 0 == metrics.silent_sites._value.get()


def test_sites_are_forgotten() -> None:
    """A site that is unknown, or not watched any more, counts for nothing."""
    status = SiteStatus()
    for site, found in ((ONE, SILENT), (TWO, HEARD)):
        status.take(site, found)
    assert {"a", "b"} == status.rules

    status.take(ONE, None)
    assert {"b"} == status.rules
    assert heard(status)

    status.keep_only([ONE])
    assert set() == status.rules
