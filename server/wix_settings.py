"""The settings of Wix in the environment: the credentials of an app or an API key, its public key, the sites.

In and out: as settings.py, which adds the fields of this class to its own.
"""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode

from server import setting_values
from server.errors import NotStarted
from server.model import SiteId
from server.setting_faults import UnusableValue
from server.wix.credentials import ApiKey, App
from server.wix.public_key import public_key
from server.wix_sites import sites


class WixSettings(BaseSettings):
    """The settings of Wix; in the environment each has its field's name in capitals."""

    wix_app_id: str | None = Field(None, description="The app's id, from its OAuth page")
    wix_app_secret: SecretStr | None = Field(None, description="The app's secret, from its OAuth page")
    wix_public_key: str | None = Field(
        None, description="The app's public key, from its Webhooks page: PEM, or base64 of it, on one line or several"
    )
    wix_api_key: SecretStr | None = Field(None, description="An API key, in place of WIX_APP_ID and WIX_APP_SECRET")
    wix_sites: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="App instance ids, comma-separated; with an API key `instance=site id`. "
        "Sites that install the app later are added by a webhook",
    )
    wix_api_url: str = Field("https://www.wixapis.com", description="Address of Wix's API, or of a local Wix")
    wix_ca_file: Path | None = Field(
        None,
        description="PEM file of certificate authorities that are trusted for Wix too: that of a proxy which reads the traffic",
    )
    https_proxy: SecretStr | None = Field(
        None, description="HTTP proxy through which Wix's https address is called: `http://user:password@host:port`"
    )

    @field_validator("wix_sites", mode="before")
    @classmethod
    def _split_sites(cls, value: Any) -> Any:
        return setting_values.parts(value)

    @field_validator("wix_sites")
    @classmethod
    def _sites(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        given = {name: _text(info.data.get(name)) for name in ("wix_app_id", "wix_app_secret", "wix_api_key")}
        return sites(
            value, app_id=given["wix_app_id"], app_secret=given["wix_app_secret"], api_key=given["wix_api_key"]
        )

    @field_validator("wix_api_url")
    @classmethod
    def _wix_url(cls, value: str) -> str:
        return setting_values.url(value)

    @field_validator("wix_ca_file")
    @classmethod
    def _ca_file(cls, value: Path | None) -> Path | None:
        return None if value is None else setting_values.ca_file(value)

    @field_validator("https_proxy")
    @classmethod
    def _proxy(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(setting_values.proxy(value.get_secret_value()))

    @field_validator("wix_public_key")
    @classmethod
    def _key(cls, value: str | None) -> str | None:
        if value is not None:
            public_key(value)
        return value

    @field_validator("wix_api_key")
    @classmethod
    def _one_way(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value and (info.data.get("wix_app_id") or info.data.get("wix_app_secret")):
            raise UnusableValue(
                "WIX_API_KEY and WIX_APP_ID or WIX_APP_SECRET are set", "keep the key, or the app, not both"
            )
        if value:
            setting_values.header_value(value.get_secret_value())
        return value

    @property
    def sites(self) -> dict[SiteId, str | None]:
        """The app instances of WIX_SITES, each with its site id where one is given."""
        pairs = (one.lower().partition("=") for one in self.wix_sites)
        return {SiteId(instance): site or None for instance, _, site in pairs}

    @cached_property
    def key(self) -> RSAPublicKey | None:
        """The key that webhooks are verified with."""
        return public_key(self.wix_public_key) if self.wix_public_key else None

    def credentials(self) -> App | ApiKey:
        """The credentials for Wix's API; raises NotStarted with the names of the missing settings."""
        if self.wix_api_key:
            return ApiKey(self.wix_api_key.get_secret_value(), {site: id_ or site for site, id_ in self.sites.items()})
        if not self.wix_app_id or not self.wix_app_secret:
            missing = [
                name
                for name, value in (("WIX_APP_ID", self.wix_app_id), ("WIX_APP_SECRET", self.wix_app_secret))
                if not value
            ]
            are, them = ("are", "them") if len(missing) > 1 else ("is", "it")
            nowhere = "" if Path(".env").exists() else f"There is no file .env in {Path.cwd()}. "
            raise NotStarted(
                f"{' and '.join(missing)} {are} not set: take {them} from your app's OAuth page at Wix, or set WIX_API_KEY. "
                f"{nowhere}Without an account: ticket-counter demo"
            )
        return App(self.wix_app_id, self.wix_app_secret.get_secret_value())


def _text(value: str | SecretStr | None) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value or ""
