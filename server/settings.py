"""The settings: read from the environment and validated once, at the start.

In: environment variables and a `.env` file in the working directory. Out: one frozen Settings, or WrongSettings with all
faults at once, by name, and without the value of a secret.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from server import env_file, setting_names, setting_values
from server.counter import Rules
from server.errors import NotStarted
from server.notify_settings import NotifySettings
from server.redis.namespace import DEFAULT_PREFIX, is_prefix
from server.redis.url import check_url
from server.setting_faults import UnusableValue, wrong_settings
from server.store.timing import Timing
from server.wix_settings import WixSettings

List = Annotated[tuple[str, ...], NoDecode]


ENV_FILE = Path(".env")


class Settings(WixSettings, NotifySettings):
    """All settings; in the environment each has its field's name in capitals."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True)

    redis_url: SecretStr | None = Field(
        None,
        description="redis://, unix://, redis+sentinel://host,host/master or redis+cluster://, with TLS rediss (docs/scaling.md). "
        "Without it `serve` starts a Valkey of its own",
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
    worker_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port on which a separate `worker` answers /livez, /readyz and /metrics, at HOST; 0 for a free one, empty for none",
    )
    public_url: str | None = Field(None, description="Public https address of this server, added to ORIGINS")
    root_path: str = Field("", description="Path under which a proxy publishes this server, such as /counter")
    origins: List = Field(
        ("*",),
        description="Origins that may read, comma-separated: exact, `https://*.example.com`, the scheme of an app's web view "
        "(`capacitor://localhost`), `null`, or `*` for all",
    )
    trusted_proxies: List = Field(
        (), description="Addresses or networks of proxies whose X-Forwarded-For is trusted, comma-separated"
    )
    max_connections: int = Field(20_000, ge=1, description="Maximum number of viewers connected to one process")
    max_connections_per_address: int = Field(100, ge=1, description="Maximum number per address (IPv6: per /64)")
    keep_alive: int = Field(
        75,
        ge=1,
        le=3600,
        description="Seconds for which a connection without a request stays open: longer than a load balancer keeps its own",
    )
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

    @field_validator("log_level", mode="before")
    @classmethod
    def _level(cls, value: Any) -> Any:
        level = value.strip().upper() if isinstance(value, str) else value
        return "WARNING" if level == "WARN" else level

    @field_validator("track", "log_form", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return setting_values.parts(value)

    @field_validator("public_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        return None if value is None else setting_values.url(value)

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
            raise UnusableValue(
                f"{value!r} is no prefix", "write 1 to 40 letters (a-z, A-Z), digits, `_`, `-` or `.`, such as tc"
            )
        return value

    @field_validator("root_path")
    @classmethod
    def _root(cls, value: str) -> str:
        return setting_values.path(value)

    @field_validator("origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return setting_values.origins(value)

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return setting_values.networks(value)

    # Two settings that must fit together are checked at the later one: a model validator runs only if all are valid.

    @field_validator("show_at_most")
    @classmethod
    def _low_is_shown(cls, value: int | None, info: ValidationInfo) -> int | None:
        low_at = info.data.get("low_at", 0)
        if value is not None and low_at > value:
            raise UnusableValue(
                f"LOW_AT={low_at} is above SHOW_AT_MOST={value}, so low numbers would be shown that must be hidden",
                f"set LOW_AT to {value} or less",
            )
        return value

    @field_validator("max_stale")
    @classmethod
    def _read_in_time(cls, value: float, info: ValidationInfo) -> float:
        watch_every = info.data.get("watch_every", 0)
        if watch_every >= value:
            raise UnusableValue(
                f"WATCH_EVERY={watch_every:g} is not below MAX_STALE={value:g}, so every number would be withdrawn "
                "before it is read again",
                "lower the one or raise the other",
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

    def mapping_file(self) -> Path:
        """SYNC_FILE; raises NotStarted where sync is switched off, as it is in the demo."""
        if self.sync_file is None:
            raise NotStarted("sync is switched off: set SYNC_FILE")
        return self.sync_file

    @property
    def sync_file_is_set(self) -> bool:
        """Whether SYNC_FILE is set: then the file must exist."""
        return "sync_file" in self.model_fields_set

    @property
    def pages_url(self) -> str | None:
        """Where our pages are: PUBLIC_URL, with ROOT_PATH where it lacks that; None where it is not set."""
        if self.public_url is None or urlsplit(self.public_url).path.endswith(self.root_path):
            return self.public_url
        return f"{self.public_url}{self.root_path}"

    @property
    def address(self) -> str:
        """Where browsers find our pages and the widget; without PUBLIC_URL only those on this machine do."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 - compared, not bound
        return self.pages_url or f"http://{f'[{host}]' if ':' in host else host}:{self.port}{self.root_path}"

    def redis(self) -> str:
        """The URL of Redis; raises NotStarted if it is not set."""
        if self.redis_url is None:
            raise NotStarted(
                "REDIS_URL is not set: separate processes share one Redis. "
                "Set it, for example to redis://127.0.0.1:6379/0, or run `ticket-counter serve`, which starts its own"
            )
        return self.redis_url.get_secret_value()


def load(_env_file: Path | None = ENV_FILE, **given: Any) -> Settings:
    """Read the environment, then the `.env` file; *given* takes precedence. Raises WrongSettings with every fault."""
    try:
        return Settings(**{**_of_file(_env_file), **given})
    except ValidationError as error:
        raise wrong_settings(error, Settings.model_fields) from None
    except (OSError, UnicodeDecodeError) as error:
        raise NotStarted(
            f"the file .env cannot be read as UTF-8 text ({error}): make it readable for this user, and save it as UTF-8"
        ) from None


def environment(path: Path = ENV_FILE) -> dict[str, str]:
    """All variables that have a value: those of the environment, then those of the `.env` file, for names that SYNC_FILE and NOTIFY_FILE have."""
    every = {**env_file.variables(path), **{name: value for name, value in os.environ.items() if value}}
    return {name: value for name, value in every.items() if value}


def misspelt(path: Path = ENV_FILE) -> list[setting_names.Misspelt]:
    """The variables of the environment and of the `.env` file that are nearly settings, and have no effect."""
    having_value = {name.upper() for name in environment(path)}
    every = [name.upper() for name in Settings.model_fields]
    return setting_names.misspelt(os.environ, env_file.variables(path), every, having_value)


def _of_file(path: Path | None) -> dict[str, str]:
    """The settings of the `.env` file that the environment does not have; an empty value counts as not set."""
    environ = {name.lower() for name, value in os.environ.items() if value}
    every = {name.lower(): value for name, value in (env_file.variables(path) if path else {}).items() if value}
    return {name: value for name, value in every.items() if name in Settings.model_fields and name not in environ}
