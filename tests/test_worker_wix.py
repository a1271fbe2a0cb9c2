"""What a worker's log says of each fault of Wix: which, and what to do."""

import pytest

from tests.rig.process import Run
from tests.rig.redis import free_port
from tests.rig.wix import WixRig

WRONG: dict[str, tuple[dict[str, str], str]] = {
    "app secret": ({"WIX_APP_SECRET": "of-another-app"}, "WIX_APP_SECRET or WIX_APP_ID is wrong"),
    "app id": ({"WIX_APP_ID": "99999999-0000-4000-8000-00000000a001"}, "WIX_APP_SECRET or WIX_APP_ID is wrong"),
    "app instance id": (
        {"WIX_SITES": "5f0e4d3c-9999-4111-8111-00000000b009"},
        "the app is not installed on this site: install it there, or correct the app instance id in WIX_SITES",
    ),
    "API key": ({"WIX_APP_ID": "", "WIX_APP_SECRET": "", "WIX_API_KEY": "IST.another"}, "WIX_API_KEY is wrong"),
    "port": ({"WIX_API_URL": "http://127.0.0.1:{free}"}, "nothing listens there: check WIX_API_URL"),
    "name": ({"WIX_API_URL": "http://wixapis.invalid"}, "name server"),
    "scheme": ({"WIX_API_URL": "https://{host}"}, "does not speak TLS on that port: check WIX_API_URL"),
    "path": ({"WIX_API_URL": "http://{host}/shop"}, "check WIX_API_URL"),
    "proxy": (
        {"WIX_API_URL": "https://www.wixapis.com", "HTTPS_PROXY": "http://ada:hush-hush@127.0.0.1:{free}"},
        "check HTTPS_PROXY, and whether the proxy 127.0.0.1:{free} runs",
    ),
}
"""Settings that are wrong, and what the log says of them."""


@pytest.mark.parametrize("what", WRONG)
async def test_wrong_setting_is_told_with_its_cure(command: Run, redis_url: str, wix: WixRig, what: str) -> None:
    """Whatever is wrong with the way to Wix, the worker's log says once what it is and what to do, and no secret."""
    changed, says = WRONG[what]
    values = {"free": str(free_port()), "host": wix.url.removeprefix("http://")}
    settings = {name.upper(): value for name, value in wix.settings().items()} | {"REDIS_URL": redis_url}
    worker = command("worker", **settings | {name: value.format(**values) for name, value in changed.items()})

    await worker.says("wix_fault")

    [line] = [one for one in worker.err.splitlines() if "wix_fault" in one]
    assert says.format(**values) in line
    for secret in ("of-another-app", "IST.another", "hush-hush", settings["WIX_APP_SECRET"]):
        assert secret not in worker.err


@pytest.mark.parametrize(
    ("status", "says"), [("403", "lacks the permission Manage Ticket Definitions"), ("503", "Wix's")]
)
async def test_refusal_of_wix_is_told_with_its_cure(
    command: Run, redis_url: str, wix: WixRig, status: str, says: str
) -> None:
    """A missing permission is told by its name, a fault of Wix as one; when Wix answers again, that is one line."""
    wix.knobs.turn(outage=status, outage_of="api")
    worker = command("worker", **{name.upper(): value for name, value in wix.settings().items()}, REDIS_URL=redis_url)
    await worker.says("wix_fault")
    wix.knobs.turn(outage="none")

    await worker.says("wix_back")

    told = [one for one in worker.err.splitlines() if "wix_" in one]
    assert says in told[0]
    assert "wix_back" in told[-1]
    assert 2 == len(told)
