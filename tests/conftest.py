"""Fixtures live beside the server that they start, in tests/rig. Tests run on the loop that the product runs on."""

import asyncio
import logging
from collections.abc import Callable, Mapping

import pytest
import structlog
import uvloop

# A check that fails shows the values that it compared.
pytest.register_assert_rewrite("tests.rig.audience_conformance")

pytest_plugins = [
    "tests.rig.report",
    "tests.rig.settings",
    "tests.rig.redis",
    "tests.rig.cluster",
    "tests.rig.redis_client",
    "tests.rig.push_service",
    "tests.rig.push_rig",
    "tests.rig.browser",
    "tests.rig.wix",
    "tests.rig.server",
    "tests.rig.tell_me_rig",
    "tests.rig.process",
    "tests.rig.host_site",
    "tests.rig.widget_modules",
    "tests.rig.mailman",
    "tests.rig.sale_deployment",
    "tests.rig.notify_deployment",
    "tests.rig.pretix",
    "tests.rig.pretix_target",
    "tests.rig.sync_rig",
    "tests.rig.sync_samples",
    "tests.rig.sync_shop",
    "tests.rig.engines",
    "tests.rig.notify_shop",
]

# A thousand webhooks are a thousand lines at DEBUG, which cost more than the webhooks.
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Uvloop, as server/run.py: its transports are no asyncio.Transport, and time things differently."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.hookimpl(tryfirst=True)  # before pytest applies -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test that uses the browser, directly or by another fixture; put the long tests first."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
