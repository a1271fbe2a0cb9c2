"""The settings: read from the environment and validated once, at the start.

In: environment variables and a `.env` file in the working directory. Out: one frozen Settings, or NotStarted with all
faults at once, by name, and without the value of a secret.
"""

import os
import re
from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from server.counter import Rules
from server.errors import NotStarted
from server.model import SiteId
from server.redis.namespace import DEFAULT_PREFIX, check_url, is_prefix
from server.store.timing import Timing
from server.wire import guid
from server.wix.credentials import ApiKey, App
from server.wix.signature import public_key

List = Annotated[tuple[str, ...], NoDecode]

_ORIGIN = re.compile(r"https?://(\*\.)?([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


class Settings(BaseSettings):
    """All settings; in the environment each has its field's name in capitals."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    wix_app_id: str | None = Field(None, description="The app's id, from its OAuth page")
    wix_app_secret: SecretStr | None = Field(None, description="The app's secret, from its OAuth page")
    wix_public_key: str | None = Field(
        None, description="The app's public key, from its Webhooks page: PEM, or base64 of PEM on one line"
    )
    wix_api_key: SecretStr | None = Field(None, description="An API key, in place of WIX_APP_ID and WIX_APP_SECRET")
    wix_sites: List = Field(
        (),
        description="App instance ids, comma-separated; with an API key `instance=site id`. "
        "Sites that install the app later are added by a webhook",
    )
    wix_api_url: str = Field("https://www.wixapis.com", description="Address of Wix's API, or of a local Wix")
    redis_url: SecretStr | None = Field(
        None,
        description="redis://, rediss://, unix:// or redis+cluster://. Without it `serve` starts a Valkey of its own",
    )
    redis_prefix: str = Field(
        DEFAULT_PREFIX,
        description="What the names of keys and channels in Redis begin with: deployments that share a Redis need different ones, "
        "or different databases",
    )
    allow_unsafe_redis: bool = Field(False, description="Accept a Redis that loses data on a restart or evicts keys")
    data_dir: Path = Field(Path("data"), description="Directory of the embedded Valkey's data")
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 for a free one")
    web_processes: int = Field(1, ge=1, description="Number of `web` processes on that port, at most one per core")
    public_url: str | None = Field(None, description="Public https address of this server, added to ORIGINS")
    root_path: str = Field("", description="Path under which a proxy publishes this server, such as /counter")
    origins: List = Field(
        ("*",),
        description="Origins that may read, comma-separated: exact, `https://*.example.com`, `null`, or `*` for all",
    )
    trusted_proxies: List = Field(
        (), description="Addresses or networks of proxies whose X-Forwarded-For is trusted, comma-separated"
    )
    max_connections: int = Field(20_000, ge=1, description="Maximum number of viewers connected to one process")
    max_connections_per_address: int = Field(100, ge=1, description="Maximum number per address (IPv6: per /64)")
    low_at: int = Field(10, ge=0, description="The state is `low` when this many tickets or fewer are left")
    show_at_most: int | None = Field(
        None, ge=0, description="Numbers above this never leave the server; empty for no limit"
    )
    track: Literal["all", "watched"] = Field(
        "all", description="`all`: read every ticket; `watched`: only tickets that have viewers"
    )
    watch_every: float = Field(
        15, ge=1, allow_inf_nan=False, description="Seconds between two reads of a ticket that has viewers"
    )
    reconcile: float = Field(
        300, ge=5, allow_inf_nan=False, description="Seconds between two reads of any other ticket, with `TRACK=all`"
    )
    max_stale: float = Field(
        90,
        ge=5,
        allow_inf_nan=False,
        validate_default=True,
        description="Seconds after which a number that cannot be verified is withdrawn",
    )
    history_days: float = Field(
        30, gt=0, allow_inf_nan=False, description="Days for which the history of counters is kept"
    )
    sync_file: Path | None = Field(
        Path("sync.toml"),
        description="The file that says which ticket definitions are kept in which other ticketing systems, and how "
        "(docs/sync.md). Without it there are none",
    )
    metrics_token: SecretStr | None = Field(
        None, description="Bearer token for /metrics and for the details of /readyz; without it neither is available"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Lowest level that is logged: DEBUG, INFO, WARNING or ERROR"
    )
    log_form: Literal["console", "json"] = Field("console", description="Format of log lines: `console` or `json`")

    @field_validator("wix_sites", "origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("wix_sites")
    @classmethod
    def _sites(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            if any(guid(part) is None for part in one.split("=", 1)):
                raise ValueError(f"{one!r} is not an app instance id, nor `instance id=site id`")
        return value

    @field_validator("wix_api_url", "public_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is not None and (urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname):
            raise ValueError(f"{value!r} is not an http or https address")
        return value.rstrip("/") if value else None

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_url(value.get_secret_value())
        return value

    @field_validator("redis_prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if not is_prefix(value):
            raise ValueError(f"{value!r} is not 1 to 40 letters (a-z, A-Z), digits, `_`, `-` or `.`")
        return value

    @field_validator("root_path")
    @classmethod
    def _root(cls, value: str) -> str:
        path = value.strip("/")
        return f"/{path}" if path else ""

    @field_validator("origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        origins = tuple(_origin(one) for one in value)
        if not origins:
            raise ValueError("it names no origin: write `*` for all")
        return origins

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            try:
                ip_network(one, strict=False)
            except ValueError:
                raise ValueError(f"{one!r} is not an address or a network such as 10.0.0.0/8") from None
        return value

    @field_validator("wix_public_key")
    @classmethod
    def _key(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                public_key(value)
            except NotStarted as error:
                raise ValueError(str(error)) from None
        return value

    # Two settings that must fit together are checked at the later one: a model validator runs only if all are valid.

    @field_validator("wix_api_key")
    @classmethod
    def _one_way(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value and (info.data.get("wix_app_id") or info.data.get("wix_app_secret")):
            raise ValueError("set WIX_API_KEY, or WIX_APP_ID and WIX_APP_SECRET, not both")
        if value and not re.fullmatch(r"[!-~]+", value.get_secret_value()):
            raise ValueError("it has a character that no key has (a typographic quote?): copy it again")
        return value

    @field_validator("show_at_most")
    @classmethod
    def _low_is_shown(cls, value: int | None, info: ValidationInfo) -> int | None:
        low_at = info.data.get("low_at", 0)
        if value is not None and low_at > value:
            raise ValueError(
                f"LOW_AT={low_at} is above SHOW_AT_MOST={value}, so low numbers would be shown that must be hidden: "
                f"set LOW_AT to {value} or less"
            )
        return value

    @field_validator("max_stale")
    @classmethod
    def _read_in_time(cls, value: float, info: ValidationInfo) -> float:
        watch_every = info.data.get("watch_every", 0)
        if watch_every >= value:
            raise ValueError(
                f"WATCH_EVERY={watch_every:g} is not below MAX_STALE={value:g}, so every number would be withdrawn "
                "before it is read again: lower the one or raise the other"
            )
        return value

    # -- what the modules get --

    @property
    def rules(self) -> Rules:
        """The settings that decide what a counter shows."""
        return Rules(self.low_at, self.show_at_most)

    @property
    def timing(self) -> Timing:
        """The durations, those of the settings and the fixed ones."""
        return Timing(watch_every=self.watch_every, reconcile=self.reconcile, max_stale=self.max_stale)

    @property
    def everything(self) -> bool:
        """Whether every ticket is tracked, not only watched ones."""
        return self.track == "all"

    @property
    def sites(self) -> dict[SiteId, str | None]:
        """The app instances of WIX_SITES, each with its site id where one is given."""
        pairs = (one.lower().partition("=") for one in self.wix_sites)
        return {SiteId(instance): site or None for instance, _, site in pairs}

    def mapping_file(self) -> Path:
        """SYNC_FILE; raises NotStarted where sync is switched off, as it is in the demo."""
        if self.sync_file is None:
            raise NotStarted("sync is switched off: set SYNC_FILE")
        return self.sync_file

    @property
    def sync_file_is_set(self) -> bool:
        """Whether SYNC_FILE is set: then the file must exist."""
        return "sync_file" in self.model_fields_set

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
            raise NotStarted(
                f"{' and '.join(missing)} not set: take them from your app's OAuth page at Wix, or set WIX_API_KEY. "
                "Without an account: ticket-counter demo"
            )
        return App(self.wix_app_id, self.wix_app_secret.get_secret_value())

    def redis(self) -> str:
        """The URL of Redis; raises NotStarted if it is not set."""
        if self.redis_url is None:
            raise NotStarted(
                "REDIS_URL is not set: separate processes share one Redis. "
                "Set it, for example to redis://127.0.0.1:6379/0, or run `ticket-counter serve`, which starts its own"
            )
        return self.redis_url.get_secret_value()


def load(**given: Any) -> Settings:
    """Read the environment; *given* takes precedence. Raises NotStarted with every fault, one per line."""
    try:
        return Settings(**given)
    except ValidationError as error:
        lines = []
        for fault in error.errors(include_url=False, include_input=False):
            name = ".".join(str(part) for part in fault["loc"]).upper()
            text = fault["msg"].removeprefix("Value error, ")
            lines.append(f"  {text}" if text.startswith(name) else f"  {name}: {text}")
        raise NotStarted("these settings cannot be used:\n" + "\n".join(lines)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise NotStarted(f"the file .env cannot be read as UTF-8 text: {error}") from None


def environment(env_file: Path = Path(".env")) -> dict[str, str]:
    """All variables that have a value: those of the environment, then those of the `.env` file, for names that SYNC_FILE has."""
    every = {**dotenv_values(env_file), **{name: value for name, value in os.environ.items() if value}}
    return {name: value for name, value in every.items() if value}


def table() -> str:
    """All settings as a Markdown table, which the README contains."""
    rows = ["| setting | default | what it is |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = field.default
        text = ",".join(default) if isinstance(default, tuple) else "" if default is None else str(default)
        shown = f"`{text}`" if text else ""
        rows.append(f"| `{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows)


def _origin(text: str) -> str:
    """An origin in the form in which browsers send it; raises ValueError."""
    origin = text.lower().rstrip("/")
    if origin in {"*", "null"}:
        return origin
    if not _ORIGIN.fullmatch(origin):
        if "*" in origin.replace("://*.", "://", 1):
            raise ValueError(f"{text!r}: a wildcard stands only for sub-domains, as in https://*.example.com")
        raise ValueError(f"{text!r} is not an origin such as https://www.example.com or https://*.example.com")
    return origin.removesuffix(":443") if origin.startswith("https:") else origin.removesuffix(":80")
