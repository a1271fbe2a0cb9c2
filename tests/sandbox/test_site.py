import base64

from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from sandbox.site import KINDS, OPTIONS, Ids, Site
from tests.rig.wix import sandbox_site


def test_new_site_has_new_ids_and_secrets() -> None:
    """Ids and secrets are new each time, one for each ticket and option."""
    one, other = Ids.new(), Ids.new()

    assert (set(KINDS), OPTIONS) == (set(one.tickets), len(one.options))
    assert 8 + 1 == len({*one.tickets.values(), one.event})
    for name in ("app", "app_secret", "instance", "site", "account", "owner", "event", "api_key"):
        assert getattr(one, name) != getattr(other, name)


def test_secrets_are_not_printed() -> None:
    """The printed form of a site has neither its secrets nor its key."""
    ids = Ids.new()
    shown = repr(Site(ids, sandbox_site().key))

    assert ids.instance in shown
    assert ids.app_secret not in shown
    assert ids.api_key not in shown
    assert "RSA" not in shown


def test_key_pair_matches() -> None:
    """Both PEMs are of the same 2048-bit key, and the one-line form is base64 of the public one."""
    key = load_pem_private_key(sandbox_site().private_pem.encode(), None)

    public = load_pem_public_key(sandbox_site().public_pem.encode())

    assert public == key.public_key()
    assert 2048 == sandbox_site().key.key_size
    assert sandbox_site().public_pem == base64.b64decode(sandbox_site().public_line).decode()
    assert "\n" not in sandbox_site().public_line


def test_each_new_site_has_its_own_key() -> None:
    """Two new sites sign with different keys, under different names."""
    assert Site.new().kid != sandbox_site().kid
