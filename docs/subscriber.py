"""Print every change of the given tickets' counters; arguments: REDIS_URL SITE TICKET [TICKET…]."""

import json
import sys

import redis

url, site, *tickets = sys.argv[1:]
with redis.Redis.from_url(url, decode_responses=True).pubsub() as pubsub:
    pubsub.subscribe(*(f"tc:{{{site}}}:live:{ticket}" for ticket in tickets))
    for message in pubsub.listen():
        counter = json.loads(message["data"]) if message["type"] == "message" else {"listening": message["channel"]}
        print(json.dumps(counter), flush=True)
