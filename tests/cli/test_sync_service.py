from pydantic import SecretStr

from server.sync.mapping import TargetSettings


def target(name: str) -> TargetSettings:
    return TargetSettings(name, "http", "", SecretStr(""), {}, ())
