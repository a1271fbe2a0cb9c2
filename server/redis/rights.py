"""Which permissions (ACL) the user of REDIS_URL lacks: Redis is asked for each command before any is needed.

In: a namespace, and a way to run a script. Out: a text with what is missing and the line that grants it, or None. Redis's
own `redis.acl_check_cmd` answers for commands, keys and channels alike, without a right to look at ACLs.
"""

from collections.abc import Sequence

from server.redis.namespace import Namespace
from server.redis.unfit import denied

KEY, CHANNEL = "KEY", "CHANNEL"

COMMANDS = """
DEL KEY
EXISTS KEY
EXPIRE KEY field
GET KEY
HDEL KEY field
HEXISTS KEY field
HGET KEY field
HGETALL KEY
HINCRBY KEY 1 2
HKEYS KEY
HLEN KEY
HRANDFIELD KEY
HMGET KEY field
HSET KEY 1 2
HSETNX KEY 1 2
INCR KEY
PERSIST KEY
PEXPIRE KEY field
PTTL KEY
SADD KEY field
SCARD KEY
SET KEY field
SISMEMBER KEY field
SMEMBERS KEY
SREM KEY field
TTL KEY
XACK KEY group 1-1
XADD KEY * field value
XAUTOCLAIM KEY group consumer 1 0-0
XGROUP CREATE KEY group $
XINFO STREAM KEY
XREADGROUP GROUP group consumer STREAMS KEY >
ZADD KEY 1 2
ZCARD KEY
ZCOUNT KEY 1 2
ZMSCORE KEY field
ZRANGE KEY 1 2
ZRANGEBYLEX KEY 1 2
ZRANGEBYSCORE KEY 1 2
ZREM KEY field
ZREMRANGEBYLEX KEY 1 2
ZREMRANGEBYRANK KEY 1 2
ZREMRANGEBYSCORE KEY 1 2
ZREVRANGE KEY 1 2
ZREVRANGEBYLEX KEY 1 2
ZSCORE KEY field
EVAL script 1 KEY
EVALSHA sha 1 KEY
PING
TIME
PUBLISH CHANNEL text
SUBSCRIBE CHANNEL
UNSUBSCRIBE
""".strip().splitlines()
"""Every command that we send, or that our scripts run."""

CLUSTER_COMMANDS = """
SPUBLISH CHANNEL text
SSUBSCRIBE CHANNEL
SUNSUBSCRIBE
CLUSTER INFO
CLUSTER SLOTS
ASKING
""".strip().splitlines()
"""Those that only a cluster needs."""

CHECK = """
local refused = {}
if not redis.acl_check_cmd then return refused end
for index, line in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(line, '%S+') do words[#words + 1] = word end
  local known, allowed = pcall(redis.acl_check_cmd, unpack(words))
  if known and not allowed then refused[#refused + 1] = index - 1 end
end
return refused
"""
"""Returns which of the commands in ARGV the user may not run. KEYS[1] is a key of ours: it may be read and written."""


def key_of(namespace: Namespace) -> str:
    """A key of ours, which is never written."""
    return f"{namespace.keys}:rights"


def commands(namespace: Namespace, *, clustered: bool) -> list[str]:
    """The commands to be checked, with a key and a channel of ours."""
    every = (*COMMANDS, *CLUSTER_COMMANDS) if clustered else COMMANDS
    channel = f"{namespace.channels}:rights"
    return [line.replace(KEY, key_of(namespace)).replace(CHANNEL, channel) for line in every]


def missing(refused: Sequence[int], namespace: Namespace, *, clustered: bool) -> str | None:
    """What the user lacks, by the places of refused commands; None where it lacks nothing."""
    every = (*COMMANDS, *CLUSTER_COMMANDS) if clustered else COMMANDS
    lines = [every[place] for place in refused]
    rights: list[str] = []
    for placeholder, pattern in ((KEY, f"~{namespace.keys}:*"), (CHANNEL, f"&{namespace.channels}:*")):
        of_this = [line for line in lines if placeholder in line]
        # If it may run none of them, it is the pattern that is missing: commands alone would have to be all forbidden.
        if of_this and len(of_this) == sum(placeholder in line for line in every):
            rights.append(pattern)
            lines = [line for line in lines if line not in of_this]
    rights += _permissions(lines)
    return denied(rights) if rights else None


def _permissions(lines: Sequence[str]) -> list[str]:
    found = []
    for line in lines:
        first, *rest = line.split()
        found.append(
            f"+{first.lower()}|{rest[0].lower()}" if first in {"XGROUP", "XINFO", "CLUSTER"} else f"+{first.lower()}"
        )
    return sorted(found)
