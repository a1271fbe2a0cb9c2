"""Settings with which our processes start, for tests that build parts of them."""

from typing import Any

from server import settings
from server.settings import Settings


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
