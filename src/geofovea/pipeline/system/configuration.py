"""Settings from configuration files, then environment variables, for arguments not given.

A file ``geofovea.toml`` in the current folder goes before the one in the user's own configuration
folder; a variable goes before both, and an argument or option before all.

A file in the current folder may have come with somebody's data. So it may name no endpoint on
another machine: pictures would be sent there, and a key with them.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from geofovea.errors import ConfigurationError
from geofovea.pipeline.system.loopback import is_loopback
from geofovea.tiling.machine.paths import is_file
from geofovea.tiling.machine.system_errors import reason_of

__all__ = [
    "FILE_NAME",
    "FILE_VARIABLE",
    "SETTINGS",
    "Configuration",
    "Configured",
    "Setting",
    "read_configuration",
    "usual_files",
    "variable_of",
]

FILE_NAME = "geofovea.toml"
FILE_VARIABLE = "GEOFOVEA_CONFIG"
"""Names a file that is read in place of the usual ones."""

_MOST_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class Setting:
    """Something that can be configured.

    Attributes:
        key: In a file; what is before the dot is the name of a table.
        variable: The environment variable.
        kind: What its value is: text, a whole number, a number, or yes and no.
        about: What it is, for people.
    """

    key: str
    variable: str
    kind: type
    about: str


SETTINGS = (
    Setting("model", "GEOFOVEA_MODEL", str, "model that answers"),
    Setting("device", "GEOFOVEA_DEVICE", str, "torch device"),
    Setting("endpoint", "GEOFOVEA_ENDPOINT", str, "address of openai:NAME"),
    Setting("budget.max_tiles", "GEOFOVEA_MAX_TILES", int, "tiles to encode"),
    Setting("budget.max_tokens", "GEOFOVEA_MAX_TOKENS", int, "vision tokens for the decoder"),
    Setting("budget.timeout", "GEOFOVEA_TIMEOUT", float, "seconds of a search"),
    Setting("cache.folder", "GEOFOVEA_CACHE_DIR", str, "folder of caches"),
    Setting("cache.gigabytes", "GEOFOVEA_CACHE_GB", float, "size of cached levels"),
    Setting("cache.tokens", "GEOFOVEA_CACHE_TOKENS", bool, "keep encoded tiles on disk"),
    Setting("cache.tokens_gigabytes", "GEOFOVEA_TOKENS_GB", float, "size of cached tiles"),
)
"""All of them, in the order in which they are shown."""

_BY_KEY: Mapping[str, Setting] = MappingProxyType({each.key: each for each in SETTINGS})


@dataclass(frozen=True, slots=True)
class Configured:
    """A value and where it comes from.

    Attributes:
        value: Of the setting's kind; a variable's as the text that it is.
        source: ``$VARIABLE`` or the path of a file.
    """

    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """What is configured.

    Attributes:
        values: By key; a setting that nobody set is not there.
        files: The files that were read, the last one goes before the others.
    """

    values: Mapping[str, Configured]
    files: tuple[Path, ...] = ()

    def get(self, key: str) -> Any:
        """The value of a setting; None where nobody set it."""
        entry = self.values.get(key)
        return None if entry is None else entry.value

    @property
    def of_files(self) -> dict[str, Any]:
        """The values that files set and no variable replaces, by key."""
        return {k: v.value for k, v in self.values.items() if not v.source.startswith("$")}


def variable_of(key: str) -> str:
    """The environment variable of a setting."""
    return _BY_KEY[key].variable


def read_configuration() -> Configuration:
    """What is configured here and now.

    A file that ``$GEOFOVEA_CONFIG`` names is read in place of the usual ones; it may name any
    endpoint, for somebody chose it.

    Raises:
        ConfigurationError: If a file cannot be read, or says what cannot be meant.
    """
    values: dict[str, Configured] = {}
    named = os.environ.get(FILE_VARIABLE, "").strip()
    files = [Path(named)] if named else [path for path in usual_files() if is_file(path)]
    for path in files:
        settings = _read(path)
        if not named and path == Path(FILE_NAME):
            _check_endpoint(path, settings.get("endpoint"))
        values |= {key: Configured(value, str(path)) for key, value in settings.items()}
    for setting in SETTINGS:
        if text := os.environ.get(setting.variable, "").strip():
            values[setting.key] = Configured(text, f"${setting.variable}")
    return Configuration(MappingProxyType(values), tuple(files))


def usual_files() -> tuple[Path, ...]:
    """Where configuration files are looked for; the last one goes before the others."""
    # here, because most processes only look at the current folder and the environment
    from platformdirs import user_config_path

    return user_config_path("geofovea", appauthor=False) / FILE_NAME, Path(FILE_NAME)


def _read(path: Path) -> dict[str, Any]:
    """The settings of one file, by key."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {reason_of(error)}") from error
    if len(data) > _MOST_BYTES:
        raise ConfigurationError(f"{path} is larger than {_MOST_BYTES} bytes, as none has to be")
    try:
        table = tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error
    return dict(_checked(path, key, value) for key, value in _flat(table).items())


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": inner for name, inner in value.items()}
        else:
            flat[key] = value
    return flat


def _checked(path: Path, key: str, value: Any) -> tuple[str, Any]:
    setting = _BY_KEY.get(key)
    if setting is None:
        raise ConfigurationError(
            f"{path} sets {key!r}, which is not a setting; there are {', '.join(_BY_KEY)}"
        )
    if not _is_of(setting.kind, value):
        names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
        raise ConfigurationError(
            f"{path} sets {key} to {value!r:.80}, and it has to be {names[setting.kind]}"
        )
    return key, value


def _is_of(kind: type, value: object) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _check_endpoint(path: Path, url: str | None) -> None:
    """Refuse an endpoint elsewhere in a file that may have come with data."""
    if url is None:
        return
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    if not host:
        raise ConfigurationError(
            f"{path} names the endpoint {url!r:.80}, which is not an address; write it in full, "
            "such as http://localhost:11434/v1"
        )
    if is_loopback(host):
        return
    own, _ = usual_files()
    raise ConfigurationError(
        f"{path} in the current folder names an endpoint on another machine, to which pictures and "
        f"a key would be sent; if you mean it, put it into {own}, or name the file with --config"
    )
