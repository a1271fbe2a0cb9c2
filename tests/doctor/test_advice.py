from pathlib import Path

import pytest

from server.doctor import advice
from server.doctor.deployment import Deployment
from tests.rig.doctor import found_by, levels
from tests.rig.settings import valid_settings


async def test_settings_worth_another_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that sets nothing, a misspelt setting and an address without TLS are notices, each with its cure; the right settings have none."""
    monkeypatch.chdir(tmp_path)
    assert [] == await found_by(advice.check, Deployment(valid_settings()))
    (tmp_path / ".env").write_text("MAX_CONECTIONS=5\nPORT : 80\n")

    found = await found_by(advice.check, Deployment(valid_settings(public_url="http://counter.example")))

    assert ["notice"] * 3 == levels(found)
    assert {"settings"} == {one.check for one in found}
    assert "MAX_CONECTIONS is no setting" == found[1].what
    assert [] == [one for one in found if not one.why or not one.cure]
