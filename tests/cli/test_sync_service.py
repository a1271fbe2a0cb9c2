from pathlib import Path

import pytest
from pydantic import SecretStr

from server import settings
from server.cli.sync_service import Opened, opened
from server.errors import NotStarted
from server.sync.mapping import TargetSettings
from server.sync.service import Sync
from tests.rig.process import Run
from tests.rig.redis_client import RedisClient
from tests.rig.sync_shop import SyncShop


def target(name: str) -> TargetSettings:
    return TargetSettings(name, "http", "", SecretStr(""), {}, ())
