import subprocess
import sys

from server.model import SiteId
from server.wix.credentials import ApiKey, App


def test_secrets_are_not_in_the_repr() -> None:
    """Neither a secret nor a key is in the printed form of its object."""
    assert "app-secret" not in repr(App("app", "app-secret"))
    assert "IST.key" not in repr(ApiKey("IST.key", {SiteId("instance"): "site"}))


def test_settings_need_no_http_client() -> None:
    """A process that only checks its settings imports no HTTP client."""
    program = "import sys, server.settings; sys.exit('httpx' in sys.modules)"

    subprocess.run([sys.executable, "-c", program], check=True)
