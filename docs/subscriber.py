"""Print the given tickets' counters now and when they change; arguments: REDIS_URL SITE TICKET [TICKET…].

Nothing is published when a number can no longer be verified, so its age is checked each second, by Redis's clock.
"""

import json
import sys

import redis

PREFIX = "tc"  # the server's REDIS_PREFIX; channels of another database than 0 have its number too, such as tc@3
BOUND = 300 + 90  # seconds: the server's RECONCILE + MAX_STALE; MAX_STALE is enough for tickets that are always watched
if len(sys.argv) < 4:
    sys.exit(__doc__)
url, site, *tickets = sys.argv[1:]
shown = {}
with redis.Redis.from_url(url, decode_responses=True) as client, client.pubsub() as pubsub:
    pubsub.subscribe(*(f"{PREFIX}:{{{site}}}:live:{ticket}" for ticket in tickets))
    while True:
        pubsub.get_message(timeout=1)  # a confirmed subscription, a change, or a second has passed: read what is stored
        for ticket in tickets:
            text, read_at = client.hmget(f"{PREFIX}:{{{site}}}:ticket:{ticket}", "counter", "read_at")
            seconds, micros = client.time()
            counter = json.loads(text) if text else {"ticket": ticket, "state": "unknown"}
            verified = read_at and 0 <= seconds + micros / 1e6 - int(read_at) / 1e6 <= BOUND
            if not verified and counter["state"] not in {"gone", "ended"}:
                counter = {"ticket": ticket, "state": "unknown"}
            if counter != shown.get(ticket):
                shown[ticket] = counter
                print(json.dumps(counter), flush=True)
