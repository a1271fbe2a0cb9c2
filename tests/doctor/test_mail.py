from pathlib import Path

from pydantic import SecretStr

from server.doctor import mail
from server.notify.config import MailSettings
from tests.rig.redis import free_port
from tests.rig.smtp_server import relay


def settings_of(url: str) -> MailSettings:
    return MailSettings(SecretStr(url), "news@example.org", "Example Hall", "1 Example Street", "", "")


async def test_relay_that_is_right() -> None:
    """A relay that takes a connection and the password is right, and gets no mail."""
    with relay(user="ann", password="right") as found:
        one = await mail.found(settings_of(f"smtp+plain://ann:right@127.0.0.1:{found.port}"))

        assert ("ok", []) == (one.level, found.answered)
        assert "and our password" in one.what


async def test_relay_that_refuses_the_password() -> None:
    """A password that the relay refuses is a fault, with what to do."""
    with relay(user="ann", password="right") as found:
        one = await mail.found(settings_of(f"smtp+plain://ann:wrong@127.0.0.1:{found.port}"))

    assert "fault" == one.level
    assert "NOTIFY_SMTP_URL" in one.cure


async def test_relay_with_a_certificate_of_no_one(tmp_path: Path) -> None:
    """A relay whose certificate is not trusted here is a fault."""
    with relay("smtps", folder=tmp_path) as found:
        one = await mail.found(settings_of(f"smtps://127.0.0.1:{found.port}"))

    assert "certificate" in one.what


async def test_relay_that_is_not_there() -> None:
    """A relay that cannot be reached is a fault with its host."""
    one = await mail.found(settings_of(f"smtp+plain://127.0.0.1:{free_port()}"))

    assert ("fault", True) == (one.level, "127.0.0.1" in one.what)
