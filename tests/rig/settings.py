"""Settings with which our processes start, for tests that build parts of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server import settings
from server.errors import NotStarted
from server.settings import Settings

Write = Callable[..., Settings]


def valid_settings(**given: Any) -> Settings:
    """Settings of a process that can start: one site, credentials, no Wix to reach, any free port; *given* ones win."""
    defaults: dict[str, Any] = {
        "wix_sites": "5f0e4d3c-1111-4111-8111-00000000b001",
        "wix_app_id": "app",
        "wix_app_secret": "app-secret",
        "wix_api_url": "http://127.0.0.1:9",
        "port": 0,
    }
    return settings.load(_env_file=None, **{**defaults, **given})


@pytest.fixture
def from_file(tmp_path: Path) -> Write:
    """Settings from a `.env` file with these lines."""

    def read(*lines: str) -> Settings:
        (tmp_path / ".env").write_text("\n".join(lines) + "\n")
        return settings.load(_env_file=tmp_path / ".env")

    return read


def refused(read: Callable[[], Any]) -> str:
    """What is said where this raises NotStarted."""
    with pytest.raises(NotStarted) as caught:
        read()
    return str(caught.value)
