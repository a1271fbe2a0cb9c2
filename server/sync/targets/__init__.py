"""The ticketing systems that sync writes to.

target.py     the Protocol: what sync needs of one
http.py       any system that takes our JSON (docs/http-target.md)
http_json.py  that JSON, read and written
signature.py  signs requests
calls.py      HTTP calls: time limit, redirects, errors, metrics
addresses.py  which addresses a target may be at

Beside each target's file stands the TOML file of its kind: what its settings are, and its mapping where sync.toml has none
(server/sync/kinds.py).
"""

from collections.abc import Callable, Mapping

from server.sync.mapping import TargetSettings
from server.sync.targets.http import HttpTarget
from server.sync.targets.pretix import Pretix
from server.sync.targets.target import Pay, Target

KINDS: Mapping[str, Callable[[TargetSettings, Pay], Target]] = {
    "http": HttpTarget,
    "pretix": Pretix,
}
"""Each kind of target with its class; a class without a TOML file of its own has that text as `DEFAULTS`."""
