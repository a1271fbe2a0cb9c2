"""A real-time ticket counter for Wix Events sites: "Only 3 left", live, and only while it is true.

 Wix ──POST──▶ webhook ─┐                                     ┌▶ pub/sub ─▶ hub ─▶ live ─▶ <ticket-counter>
                        ├▶ [schedule] ─▶ refresh ─▶ snapshots ┤
   viewer, clock ───────┘               re-reads Wix          └▶ [changes]

A webhook is only a hint to read again; what Wix answers to a later read is the truth; storing and announcing are one
step; viewers get whole counters, and the newest wins.

Roots, each imported only by those above it:
  cli.py          the commands
  supervisor.py   several web processes on one port, and their parent
  run.py          signals and drain; web and worker in one loop
  watch.py        prints counters as they change, from Redis's public channels
  web.py          builds the web process
  worker.py       builds the worker process
  valkey.py       the embedded server
  http/           uvicorn as we run it:
                  server.py listen.py connection.py upgrade.py idle.py descriptors.py
  settings.py     the environment, validated once

Stages, which never import each other and meet in Redis:
  webhook.py      POST /webhooks/wix: verify, mark as due, 200
  refresh/        reads from Wix what is due:
                  claims.py listing.py reader.py silence.py
  live/           the counters resource:
                  counters.py sse.py responses.py websocket.py handshake.py frames.py admission.py
  pages.py        widget file, embed page, health, metrics

What this process knows:
  hub/            which viewers watch what, and how a change reaches them:
                  hub.py topics.py feed.py subscriptions.py heartbeat.py other_rules.py unconfirmed.py
  wix/            Wix's API and its webhooks:
                  client.py credentials.py schema.py webhooks.py signature.py deadline.py

What is stored (store/__init__.py is the table of every key):
  store/          schedule.py budget.py timing.py snapshots.py changes.py sites.py rules_warning.py keys.py
                  scripts.py lua/
  redis/          the driver, one server or a cluster:
                  client.py cluster.py node.py pipeline.py listener.py links.py faults.py

Words, which import nothing of ours but each other:
  model.py        tickets, counters, rules and hints as values
  wire.py         the public contract as bytes
  errors.py       what can go wrong, as a tree
  metrics.py      every metric
  logs.py         one line per event, with ids and no personal data
  child.py        subprocesses that end with this one
"""
