"""The ticketing systems that sync writes to.

target.py     the Protocol: what sync needs of one
http.py       any system that takes our JSON (docs/http-target.md)
http_json.py  that JSON, read and written
signature.py  signs requests
pretix/       pretix, an open-source ticket shop (docs/pretix.md)
calls.py      HTTP calls: time limit, redirects, errors, metrics
no_answer.py  why a target did not answer, and what to do

Beside each target's file stands the TOML file of its kind: what its settings are, and its mapping where sync.toml has none
(server/sync/mapping_file/kinds.py). docs/adding-a-target.md says how to add one.
"""

from collections.abc import Callable, Mapping
from importlib import import_module

from server.sync.mapping import TargetSettings
from server.sync.targets.target import Pay, Target

CLASSES = {
    "http": "server.sync.targets.http:HttpTarget",
    "pretix": "server.sync.targets.pretix.target:Pretix",
}
"""Each kind of target with its class: a further kind is one line here."""


def _class(path: str) -> Callable[[TargetSettings, Pay], Target]:
    module, _, name = path.partition(":")
    found: Callable[[TargetSettings, Pay], Target] = getattr(import_module(module), name)
    return found


KINDS: Mapping[str, Callable[[TargetSettings, Pay], Target]] = {kind: _class(path) for kind, path in CLASSES.items()}
"""Each kind of target with its class; a class without a TOML file of its own has that text as `DEFAULTS`."""
