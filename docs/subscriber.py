"""Print every change of the given tickets' counters; arguments: REDIS_URL SITE TICKET [TICKET…]."""

import json
import sys

import redis

PREFIX = "tc"  # the server's REDIS_PREFIX; in another database than 0 with its number, such as tc@3
url, site, *tickets = sys.argv[1:]
with redis.Redis.from_url(url, decode_responses=True).pubsub() as pubsub:
    pubsub.subscribe(*(f"{PREFIX}:{{{site}}}:live:{ticket}" for ticket in tickets))
    for message in pubsub.listen():
        counter = json.loads(message["data"]) if message["type"] == "message" else {"listening": message["channel"]}
        print(json.dumps(counter), flush=True)
