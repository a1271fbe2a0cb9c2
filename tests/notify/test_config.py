import pytest
from pydantic import SecretStr

from server.notify.config import MailSettings


@pytest.mark.parametrize(
    ("sender", "domain"), [("news@example.org", "example.org"), ("news@lists.example.org", "lists.example.org")]
)
def test_message_ids_are_of_the_senders_domain(sender: str, domain: str) -> None:
    """The domain of Message-IDs is that of the address that mails come from."""
    settings = MailSettings(SecretStr("smtp://relay"), sender, "The Theatre", "1 Main Street", sender, sender)

    assert domain == settings.domain
    assert "relay" not in repr(settings)
