from pathlib import Path
from typing import Any

import pytest

from server.setting_names import Misspelt
from server.settings_advice import Advice, advice, all_advice
from tests.rig.settings import valid_settings

URL = "https://counter.example"
BEHIND = {"public_url": URL, "trusted_proxies": "127.0.0.1"}


def of(**given: Any) -> list[Advice]:
    return list(advice(valid_settings(**given), []))


@pytest.mark.parametrize(
    ("given", "event", "setting", "says"),
    [
        ({"public_url": "http://counter.example"}, "public_url_without_tls", "PUBLIC_URL", "is not https"),
        ({**BEHIND, "public_url": f"{URL}/counter"}, "public_url_with_other_path", "ROOT_PATH", "ROOT_PATH is not set"),
        (
            {**BEHIND, "public_url": f"{URL}/counter", "root_path": "/other"},
            "public_url_with_other_path",
            "ROOT_PATH",
            "ROOT_PATH is /other",
        ),
        ({"public_url": URL}, "no_trusted_proxies", "TRUSTED_PROXIES", "TRUSTED_PROXIES is empty"),
    ],
)
def test_setting_that_is_probably_wrong(given: dict[str, Any], event: str, setting: str, says: str) -> None:
    """A setting that is probably wrong is told with what it does, and with a cure that names the setting."""
    (found,) = of(**given)

    assert (event, setting) == (found.event, found.setting)
    assert says in found.what
    assert found.why
    assert setting in found.cure


@pytest.mark.parametrize(
    "given",
    [
        {},
        BEHIND,
        {"public_url": "http://localhost:8000"},
        {"public_url": "http://127.0.0.1:8000/x"},
        {"public_url": "http://[::1]:8000"},
        {**BEHIND, "public_url": f"{URL}/counter", "root_path": "counter"},
        {**BEHIND, "public_url": f"{URL}/a/counter", "root_path": "/counter"},
        {**BEHIND, "root_path": "/counter"},
        {"public_url": URL, "max_connections_per_address": 500, "max_connections": 500},
    ],
)
def test_settings_that_are_right(given: dict[str, Any]) -> None:
    """Settings that fit together get no advice, nor do those of a server that only this machine reaches."""
    assert [] == of(**given)


@pytest.mark.parametrize(("lines", "says"), [([3], "line 3 of the file .env"), ([3, 5], "lines 3, 5 of the file .env")])
def test_lines_that_set_nothing(lines: list[int], says: str) -> None:
    """Lines of `.env` that set nothing are told by their numbers, with how to write them."""
    (found,) = advice(valid_settings(), [], lines)

    assert found.what.startswith(says)
    assert "NAME=value" in found.cure


def test_misspelt_setting() -> None:
    """A misspelt setting is told with the one that was meant."""
    (found,) = advice(valid_settings(), [Misspelt("MAX_CONECTIONS", "MAX_CONNECTIONS")])

    assert ("unknown_setting", "MAX_CONECTIONS is no setting") == (found.event, found.what)
    assert found.cure.startswith("rename it to MAX_CONNECTIONS")


def test_setting_that_stands_twice_in_the_file() -> None:
    """A setting that stands in `.env` with two values is told: only the last one counts."""
    (found,) = advice(valid_settings(), given_twice=["WIX_APP_ID"])

    assert ("setting_given_twice", "WIX_APP_ID") == (found.event, found.setting)


def test_advice_about_the_file_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `.env` that was made from the example, where each name stands with an empty value, hides no misspelt line."""
    (tmp_path / ".env").write_text(
        "ORIGINS=*\nPUBLIC_URL=\nLOW_AT=3\nPUBLICURL=https://a.example\nORIGIN=x\nlow_at=4\nbroken\n"
    )
    monkeypatch.chdir(tmp_path)

    found = {(one.event, one.setting) for one in all_advice(valid_settings())}
    assert {
        ("env_file_not_understood", ".env"),
        ("setting_given_twice", "LOW_AT"),
        ("unknown_setting", "PUBLICURL"),
        ("unknown_setting", "ORIGIN"),
    } == found
