from server.redis.namespace import Namespace
from server.store.keys import Keys
from tests.rig.default_keys import KEYS


def test_keys_of_a_site_share_a_slot() -> None:
    """Every key and channel of a site has its name in braces, from which a cluster computes the slot."""
    assert "tc:{S}:ticket:T" == KEYS.key("S", "ticket", "T")
    assert "tc:{S}:live:T" == KEYS.channel("S", "T")


def test_default_names_stay() -> None:
    """The default prefix in database 0 gives the names that the table of keys shows."""
    assert ("tc:sites", "tc:wake") == (KEYS.sites, KEYS.wake)


def test_keys_of_a_target_share_a_slot() -> None:
    """What sync keeps of a site is in the slot of the site, and what it keeps of a target in one of the target, in any deployment."""
    shop = Keys(Namespace.of("redis://127.0.0.1/3", "shop"))

    assert "tc:{S}:sync:pretix:record:T" == KEYS.sync("S", "pretix", "record", "T")
    assert "tc:{sync:pretix}:lease:0" == KEYS.target("pretix", "lease", "0")
    assert ("shop:{S}:sync:pretix:due", "shop:{sync:pretix}:state") == (
        shop.sync("S", "pretix", "due"),
        shop.target("pretix", "state"),
    )


def test_another_deployment_has_other_names() -> None:
    """A prefix changes every name, and a database every channel."""
    keys = Keys(Namespace.of("redis://127.0.0.1/3", "shop"))

    assert ("shop:sites", "shop:{S}:due") == (keys.sites, keys.key("S", "due"))
    assert ("shop@3:wake", "shop@3:{S}:live:T") == (keys.wake, keys.channel("S", "T"))


def test_keys_of_notify_share_a_slot() -> None:
    """What notify keeps of a site is in the slot of the site, and what it keeps of a relay or push service in one of that."""
    assert "tc:{S}:notify:rows:C:mail" == KEYS.notify("S", "rows", "C", "mail")
    assert "tc:{notify:push a.example%3A8443}:state" == KEYS.server("push a.example:8443", "state")
    assert ("tc:notify:servers", "tc:sync") == (KEYS.servers, KEYS.sync_memory)
    assert "tc:{S}:tickets:gala" == KEYS.event_channel("S", "gala")
