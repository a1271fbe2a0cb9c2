import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from server.errors import NotStarted
from server.sync.targets.signature import Signer

OLD = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
NEW = "whsec_enp6enp6enp6enp6enp6enp6enp6enp6"


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_each_secret_signs(secret: str) -> None:
    """While a secret is being changed, a receiver that knows either one accepts the request."""
    headers = Signer("box", f"{NEW} {OLD}").headers("msg_1", "PUT", "/tickets/4?x=é", '{"name":"é"}'.encode())

    assert 2 == len(headers["webhook-signature"].split(" "))
    Webhook(secret).verify('PUT /tickets/4?x=é\n{"name":"é"}', headers, json_parse=False)


@pytest.mark.parametrize(
    "content", ["POST /tickets/4\n{}", "PUT /tickets/5\n{}", "PUT /tickets/4\n{ }", "PUT /tickets/4?a\n{}", "{}"]
)
def test_method_address_and_body_are_signed(content: str) -> None:
    """A signature holds for one method, one address and one body."""
    headers = Signer("box", OLD).headers("msg_1", "PUT", "/tickets/4", b"{}")

    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(content, headers, json_parse=False)


def test_id_and_time_are_signed() -> None:
    """Neither the id nor the time of a request can be changed; the time is now."""
    headers = Signer("box", OLD).headers("msg_1", "GET", "/", b"")

    assert abs(time.time() - int(headers["webhook-timestamp"])) < 5
    for name, value in (("webhook-id", "msg_2"), ("webhook-timestamp", str(int(headers["webhook-timestamp"]) - 1))):
        with pytest.raises(WebhookVerificationError):
            Webhook(OLD).verify("GET /\n", {**headers, name: value}, json_parse=False)


@pytest.mark.parametrize(
    "secrets", ["", " ", "word", "whsec_", "whsec_c2hvcnQ=", "whsec_&&&&", f"{OLD} word", "whsec_" + "A" * 120]
)
def test_what_is_no_secret(secrets: str) -> None:
    """A secret is whsec_ and 24 to 64 bytes in base64; anything else is told at the start, without showing it."""
    with pytest.raises(NotStarted, match="24 to 64 bytes") as caught:
        Signer("box", secrets)

    assert "word" not in str(caught.value)
