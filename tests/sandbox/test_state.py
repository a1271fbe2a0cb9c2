import json
import stat
from pathlib import Path

import pytest

from sandbox import state
from sandbox.errors import StartupError
from tests.rig.wix import IDS, sandbox_site

URL = "http://127.0.0.1:9000"


def test_a_second_start_is_the_same_site(tmp_path: Path) -> None:
    """Ids, secrets and key are those of the first start."""
    folder = tmp_path / "deep" / "wix"
    state.save(folder, sandbox_site(), URL)

    again = state.load(folder)

    assert sandbox_site().public_pem == again.public_pem
    assert (IDS.app_secret, IDS.api_key, IDS.event) == (again.ids.app_secret, again.ids.api_key, again.ids.event)
    assert dict(IDS.tickets) == dict(again.ids.tickets)
    assert list(IDS.options) == list(again.ids.options)


def test_a_new_folder_is_a_new_site(tmp_path: Path) -> None:
    """Where nothing was kept, all is new, and nothing is written by loading."""
    found = state.load(tmp_path)

    assert IDS.instance != found.ids.instance
    assert [] == list(tmp_path.iterdir())


def test_the_settings_are_a_server_s(tmp_path: Path) -> None:
    """The .env has what a server needs, a value a line, the key on one."""
    state.save(tmp_path, sandbox_site(), URL)

    lines = (tmp_path / ".env").read_text().splitlines()

    assert {
        "WIX_APP_ID": IDS.app,
        "WIX_APP_SECRET": IDS.app_secret,
        "WIX_PUBLIC_KEY": sandbox_site().public_line,
        "WIX_SITES": IDS.instance,
        "WIX_API_URL": URL,
    } == dict(line.split("=", 1) for line in lines)


def test_everything_is_in_one_file(tmp_path: Path) -> None:
    """Programs find address, ids, secrets and the paths of the key pair in sandbox.json."""
    state.save(tmp_path, sandbox_site(), URL)

    kept = json.loads((tmp_path / "sandbox.json").read_text())

    assert (URL, IDS.app, IDS.app_secret, IDS.instance, IDS.site, IDS.api_key, IDS.event) == tuple(
        kept[name] for name in ("url", "appId", "appSecret", "instanceId", "siteId", "apiKey", "eventId")
    )
    assert dict(IDS.tickets) == kept["tickets"]
    assert sandbox_site().private_pem == Path(kept["privateKey"]).read_text()
    assert sandbox_site().public_pem == Path(kept["publicKey"]).read_text()


def test_secrets_are_their_owner_s(tmp_path: Path) -> None:
    """Files with secrets can be read by nobody else, even where an older one could."""
    (tmp_path / ".env").touch(0o644)

    state.save(tmp_path, sandbox_site(), URL)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in tmp_path.iterdir()}
    assert {".env": 0, "sandbox.json": 0, "private.pem": 0} == {
        name: mode for name, mode in modes.items() if name != "public.pem"
    }
    assert 4 == len(modes)


@pytest.mark.parametrize("content", ["", "{}", "[]", "nonsense"])
def test_a_broken_file_is_told(tmp_path: Path, content: str) -> None:
    """What cannot be read is named, with what to do; it is not silently made anew."""
    state.save(tmp_path, sandbox_site(), URL)
    (tmp_path / "sandbox.json").write_text(content)

    with pytest.raises(StartupError, match=r"sandbox\.json.*delete"):
        state.load(tmp_path)


def test_a_missing_key_is_told(tmp_path: Path) -> None:
    """Ids without their key are of no use: webhooks would not verify with the .env that was handed out."""
    state.save(tmp_path, sandbox_site(), URL)
    (tmp_path / "private.pem").unlink()

    with pytest.raises(StartupError):
        state.load(tmp_path)


def test_another_version_s_file_is_told(tmp_path: Path) -> None:
    """A file that lacks a kind of ticket is not half used."""
    state.save(tmp_path, sandbox_site(), URL)
    path = tmp_path / "sandbox.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tickets": {}}))

    with pytest.raises(StartupError, match="another version"):
        state.load(tmp_path)


@pytest.mark.parametrize(
    ("receivers", "ports"),
    [
        (("http://127.0.0.1:8000/webhooks/wix",), ["PORT=8000"]),
        (("https://shop.example/webhooks/wix", "http://localhost:8001/webhooks/wix"), ["PORT=8001"]),
        (("https://shop.example:8443/webhooks/wix",), []),
        ((), []),
    ],
)
def test_port_of_the_receiver(tmp_path: Path, receivers: tuple[str, ...], ports: list[str]) -> None:
    """A server of this machine is told the port that webhooks come to, so that it listens there."""
    state.save(tmp_path, sandbox_site(), URL, receivers)

    assert ports == [line for line in (tmp_path / ".env").read_text().splitlines() if line.startswith("PORT")]


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    """Where no folder can be made, that is said by its name."""
    (tmp_path / "file").touch()

    with pytest.raises(StartupError, match="file"):
        state.save(tmp_path / "file", sandbox_site(), URL)
