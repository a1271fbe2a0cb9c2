import json
import stat
from pathlib import Path

import pytest

from sandbox import state
from sandbox.errors import StartupError
from tests.rig.wix import IDS, sandbox_site

URL = "http://127.0.0.1:9000"


def test_second_start_has_the_same_site(tmp_path: Path) -> None:
    """Ids, secrets and key are those of the first start."""
    folder = tmp_path / "deep" / "wix"
    state.save(folder, sandbox_site(), URL)

    again = state.load(folder)

    assert sandbox_site().public_pem == again.public_pem
    assert (IDS.app_secret, IDS.api_key, IDS.event) == (again.ids.app_secret, again.ids.api_key, again.ids.event)
    assert dict(IDS.tickets) == dict(again.ids.tickets)
    assert list(IDS.options) == list(again.ids.options)


def test_new_folder_has_a_new_site(tmp_path: Path) -> None:
    """In an empty folder all is new, and loading writes nothing."""
    found = state.load(tmp_path)

    assert IDS.instance != found.ids.instance
    assert [] == list(tmp_path.iterdir())


def test_env_file_has_the_settings_of_a_server(tmp_path: Path) -> None:
    """The .env has what a server needs, one value a line, the key on one line."""
    state.save(tmp_path, sandbox_site(), URL)

    lines = (tmp_path / ".env").read_text().splitlines()

    assert {
        "WIX_APP_ID": IDS.app,
        "WIX_APP_SECRET": IDS.app_secret,
        "WIX_PUBLIC_KEY": sandbox_site().public_line,
        "WIX_SITES": IDS.instance,
        "WIX_API_URL": URL,
    } == dict(line.split("=", 1) for line in lines)


def test_state_file_has_everything(tmp_path: Path) -> None:
    """Programs find address, ids, secrets and the paths of the key pair in sandbox.json."""
    state.save(tmp_path, sandbox_site(), URL)

    kept = json.loads((tmp_path / "sandbox.json").read_text())

    assert (URL, IDS.app, IDS.app_secret, IDS.instance, IDS.site, IDS.api_key, IDS.event) == tuple(
        kept[name] for name in ("url", "appId", "appSecret", "instanceId", "siteId", "apiKey", "eventId")
    )
    assert dict(IDS.tickets) == kept["tickets"]
    assert sandbox_site().private_pem == Path(kept["privateKey"]).read_text()
    assert sandbox_site().public_pem == Path(kept["publicKey"]).read_text()


def test_files_with_secrets_are_readable_only_by_their_owner(tmp_path: Path) -> None:
    """Only the owner can read files with secrets, even if an older file was readable by others."""
    (tmp_path / ".env").touch(0o644)

    state.save(tmp_path, sandbox_site(), URL)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in tmp_path.iterdir()}
    assert {".env": 0, "sandbox.json": 0, "private.pem": 0} == {
        name: mode for name, mode in modes.items() if name != "public.pem"
    }
    assert 4 == len(modes)


@pytest.mark.parametrize("content", ["", "{}", "[]", "nonsense"])
def test_broken_state_file_is_reported(tmp_path: Path, content: str) -> None:
    """A file that cannot be read is named, with what to do; it is not silently replaced."""
    state.save(tmp_path, sandbox_site(), URL)
    (tmp_path / "sandbox.json").write_text(content)

    with pytest.raises(StartupError, match=r"sandbox\.json.*delete"):
        state.load(tmp_path)


def test_missing_key_is_reported(tmp_path: Path) -> None:
    """Ids without their key are refused: webhooks would not verify with the .env given out before."""
    state.save(tmp_path, sandbox_site(), URL)
    (tmp_path / "private.pem").unlink()

    with pytest.raises(StartupError):
        state.load(tmp_path)


def test_state_file_of_another_version_is_reported(tmp_path: Path) -> None:
    """A file that lacks a kind of ticket is refused."""
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
    """A server on this machine gets the port that webhooks are sent to, so that it listens there."""
    state.save(tmp_path, sandbox_site(), URL, receivers)

    assert ports == [line for line in (tmp_path / ".env").read_text().splitlines() if line.startswith("PORT")]


def test_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    """If the folder cannot be created, the error names it."""
    (tmp_path / "file").touch()

    with pytest.raises(StartupError, match="file"):
        state.save(tmp_path / "file", sandbox_site(), URL)
