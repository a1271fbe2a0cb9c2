import json
from typing import Any

import pytest

from server.errors import BadRequest
from server.push_subscription import LONGEST_ENDPOINT, PushSubscription, host_of, is_allowed, origin_of
from tests.rig.push_service import Subscriber, base64url

GOOD = "https://fcm.googleapis.com/fcm/send/abc:DEF_-1"


def given(**more: Any) -> dict[str, Any]:
    """What a browser sends; *more* wins."""
    return {**Subscriber(GOOD, "").json(), **more}


@pytest.mark.parametrize(
    "endpoint",
    [
        GOOD,
        "https://updates.push.services.mozilla.com/wpush/v2/gAAAA",
        "https://wns2-par02p.notify.windows.com/w/?token=BQYAAAD%2f%2b",
        "https://web.push.apple.com/QGuQyavXutnMH",
        "https://android.googleapis.com/gcm/send/x",
        "https://a.b.push.apple.com/x",
    ],
)
def test_known_services_are_allowed(endpoint: str) -> None:
    """The address of each browser's push service is taken."""
    assert is_allowed(endpoint, ())


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://fcm.googleapis.com/x",
        "https://fcm.googleapis.com",
        "https://fcm.googleapis.com:8443/x",
        "https://fcm.googleapis.com./x",
        "https://fcm.googleapis.com.example.org/x",
        "https://evilfcm.googleapis.com/x",
        "https://x.fcm.googleapis.com/x",
        "https://push.apple.com/x",
        "https://.push.apple.com/x",
        "https://evilpush.apple.com/x",
        "https://a..push.apple.com/x",
        "https://push.apple.com.example.org/x",
        "https://fcm.googleapis.com@example.org/x",
        "https://user:pw@fcm.googleapis.com/x",
        "https://example.org/https://fcm.googleapis.com/x",
        "https://example.org\\@fcm.googleapis.com/x",
        "https://example.org#@fcm.googleapis.com/x",
        "https://fcm.googleapis.com/x#y",
        "https://fcm.googleapis.com/x y",
        "https://fcm.googleapis.com/x\r\nHost: a",
        "https://fcm.googleapis.com/x\n",
        "https://FCM.googleapis.com/x",
        "https://169.254.169.254/latest/meta-data",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://localhost/x",
        "ftp://fcm.googleapis.com/x",
        "//fcm.googleapis.com/x",
        "javascript:alert(1)",
        "",
        "https://fcm.googleapis.com/" + "x" * LONGEST_ENDPOINT,
    ],
)
def test_other_addresses_are_not_allowed(endpoint: str) -> None:
    """No address leads anywhere but to a push service, however it is written, and nothing that is not https."""
    assert not is_allowed(endpoint, ())


@pytest.mark.parametrize(
    ("endpoint", "allowed"),
    [
        ("https://push.example.org/x", True),
        ("https://push.example.org:8443/x", True),
        ("http://push.example.org/x", False),
        ("http://127.0.0.1:4000/x", True),
        ("http://localhost:4000/x", True),
        ("https://sub.push.example.org/x", False),
    ],
)
def test_hosts_of_the_settings_are_allowed(endpoint: str, allowed: bool) -> None:
    """A host that the settings name is taken by its whole name, and without encryption only on this machine."""
    assert allowed == is_allowed(endpoint, ("push.example.org", "127.0.0.1", "localhost"))


def test_a_subscription_is_read() -> None:
    """What a browser sends is read, with or without padding in its keys, and remembers its VAPID key."""
    sent = given()
    found = PushSubscription.read(json.loads(json.dumps(sent)), "0a1b2c3d", ())
    padded = {name: text + "=" * (-len(text) % 4) for name, text in sent["keys"].items()}

    assert (GOOD, "0a1b2c3d") == (found.endpoint, found.key)
    assert sent["keys"] == {"p256dh": found.p256dh, "auth": found.auth}
    assert found == PushSubscription.read({**sent, "keys": padded}, "0a1b2c3d", ())


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        (None, "subscription"),
        ([], "subscription"),
        ({}, "subscription"),
        (given(keys=[]), "subscription"),
        (given(endpoint=7), "endpoint"),
        (given(endpoint="https://example.org/x"), "endpoint"),
        (given(keys={}), "p256dh"),
        (given(keys={"p256dh": base64url(b"\x04" + b"\x01" * 64), "auth": base64url(b"a" * 16)}), "p256dh"),
        (given(keys={"p256dh": base64url(b"\x04" + b"\x01" * 63), "auth": base64url(b"a" * 16)}), "p256dh"),
        (given(keys={"p256dh": base64url(b"\x02" + b"\x01" * 32), "auth": base64url(b"a" * 16)}), "p256dh"),
        (given(keys={"p256dh": "*" * 87, "auth": base64url(b"a" * 16)}), "p256dh"),
        (given(keys={"p256dh": "A" * 5, "auth": base64url(b"a" * 16)}), "p256dh"),
        (given(keys={"p256dh": 7, "auth": base64url(b"a" * 16)}), "p256dh"),
        (given(keys={**given()["keys"], "auth": base64url(b"a" * 15)}), "auth"),
        (given(keys={**given()["keys"], "auth": None}), "auth"),
    ],
)
def test_what_is_no_subscription_is_refused(sent: Any, field: str) -> None:
    """Keys that would fail when a message is encrypted are refused when they come, with the member at fault and without its value."""
    with pytest.raises(BadRequest) as refused:
        PushSubscription.read(sent, "0a1b2c3d", ())

    assert field == refused.value.field
    assert "example.org" not in str(refused.value)


def test_host_and_origin_are_those_of_the_address() -> None:
    """The host names the service, and the origin is what a VAPID header is made for."""
    assert ("fcm.googleapis.com", "https://fcm.googleapis.com") == (host_of(GOOD), origin_of(GOOD))
    assert "http://127.0.0.1:4000" == origin_of("http://127.0.0.1:4000/x")
    assert ("", "") == (host_of("nothing"), origin_of("nothing"))
