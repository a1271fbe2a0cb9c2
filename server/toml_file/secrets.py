"""Secrets that a file of settings needs: the file names the variable that has one, and never the secret itself.

In: a table of the file, and the environment. Out: the secret; what is wrong is noted, and shows no secret.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Fault = Callable[..., None]
"""Notes what is wrong: a text, then the path of the key in the table."""

LIKE_A_SECRET = re.compile(r"(api_?)?(key|token)|secret|password|passphrase|authorization|bearer", re.IGNORECASE)
"""Keys behind which people put a secret."""

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_TOKEN = re.compile(r"[!-~]+( [!-~]+)*")


def variable(name: str, key: str) -> str:
    """An example of the variable that has the secret which *key* (such as `token_env`) names, in the table of this name."""
    return f"{name}_{key.removesuffix('_env')}".upper().replace("-", "_")


def named_secret(table: Mapping[str, Any], key: str, example: str, environ: Mapping[str, str], fault: Fault) -> str:
    """The secret of the environment that *key* names, or "" where that is wrong."""
    named = table.get(key)
    if named is None:
        fault(f'{key} is missing: name the variable that has the secret, as "{example}"')
    elif not isinstance(named, str) or not _VARIABLE.fullmatch(named):
        fault(f"{key} is the name of a variable in capitals, such as {example}, and never the secret itself", key)
    elif not (value := environ.get(named, "")):
        fault(f"{key}: {named} is not set: put it into the environment or into .env", key)
    elif not _TOKEN.fullmatch(value):
        fault(f"{key}: the value of {named} has characters that no secret has: copy it again", key)
    else:
        return value
    return ""


def no_secret_here(key: str, named_by: str, example: str) -> str:
    """The fault of a key that looks like a secret, where *named_by* is the key that names the variable."""
    return (
        f"{key}: no secret belongs into this file: put it into the environment or .env, and name the variable: "
        f'{named_by} = "{example}"'
    )


def check_texts(table: Mapping[str, Any], secret: str, fault: Fault) -> None:
    """No text of the table, and no key, may be the secret, or look like a signing secret."""
    for path, text in _texts(table):
        if "whsec_" in text or (len(secret) >= 8 and secret in text):
            fault(f"{path[0]}: a secret stands in this file: put it into the environment, and change it", *path)


def _texts(value: Any, *path: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text and every key of a table, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key), key
            yield from _texts(inner, *path, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, *path)
