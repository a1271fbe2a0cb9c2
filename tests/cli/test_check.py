import json
from pathlib import Path

from tests.rig.commands import Commands

COMPLETE = {
    "WIX_API_KEY": "key",
    "REDIS_URL": "redis://127.0.0.1:9",
    "WIX_API_URL": "http://127.0.0.1:9",
}


async def test_settings_that_can_be_used(tmp_path: Path) -> None:
    """Settings that can be used are right, though nothing of what they name can be reached: it is not asked."""
    status, out, errors = await Commands("check", tmp_path, COMPLETE).run()

    assert (0, "", "no fault.") == (status, errors, out.splitlines()[-1])


async def test_settings_and_files_that_cannot(tmp_path: Path) -> None:
    """Faults of settings and of files are told together, and end the program with status 1."""
    (tmp_path / ".env").write_text("MAX_CONECTIONS=5\n")
    (tmp_path / "sync.toml").write_text("format = 1\n[nonsense]\n")

    status, out, _ = await Commands("check", tmp_path, {"REDIS_URL": "redis://127.0.0.1:9"}).run("--json")

    found = json.loads(out)["findings"]
    assert 1 == status
    assert ["settings", "settings", "settings", "sync"] == [one["check"] for one in found]
    assert any("MAX_CONECTIONS is no setting" == one["what"] and "notice" == one["level"] for one in found)
