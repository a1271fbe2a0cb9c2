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


async def test_same_sentences_as_at_a_start(tmp_path: Path) -> None:
    """What `serve` prints of wrong settings is what `check` and `doctor` find: all faults at once, in the same words."""
    wrong = {"PORT": "many", "ORIGINS": "one.example,two.example", "WIX_SITES": "IST.hush"}

    _, _, printed = await Commands("serve", tmp_path, wrong).run()
    found = [
        json.loads((await Commands(name, tmp_path, wrong).run("--json"))[1])["findings"] for name in ("check", "doctor")
    ]

    lines = [line.strip() for line in printed.splitlines()[1:]]
    assert 3 == len(lines)
    assert [lines, lines] == [
        [f"{one['what']}: {one['cure']}" for one in findings if one["level"] == "fault"] for findings in found
    ]
    assert "hush" not in f"{printed}{found}"
