"""A real-time ticket counter for Wix Events sites: a shop window that tells the truth, live.

 Wix ──POST──▶ webhook ─┐                                     ┌▶ pub/sub ─▶ hub ─▶ live ─▶ <ticket-counter>
                        ├▶ [schedule] ─▶ refresh ─▶ snapshots ┤
   viewer, clock ───────┘               re-reads Wix          └▶ [changes]

A webhook is only a hint to look again; what Wix answers to a later read is the truth; stored and announced are one
step; viewers get whole counters, and the newest wins.

Roots, each imported only by those above it:
  cli.py          the commands
  supervisor.py   several web processes on one port, and their parent
  run.py          signals and drain; web and worker in one loop
  watch.py        prints counters as they change, from Redis's public channels
  valkey.py       the embedded server
  web.py          builds the web process
  worker.py       builds the worker process
  http/           uvicorn as we run it: server.py listen.py connection.py idle.py descriptors.py
  settings.py     the environment, validated once

Stages, which meet only in Redis:
  webhook.py      POST /webhooks/wix: verify, mark, 200
  refresh/        due tickets, read from Wix: claims.py reader.py silence.py
  live/           the counters resource: counters.py websocket.py handshake.py frames.py admission.py request.py
  pages.py        widget file, embed page, health, metrics

What this process knows:
  hub/            hub.py topics.py feed.py subscriptions.py heartbeat.py other_rules.py unconfirmed.py
  wix/            client.py schema.py signature.py deadline.py

What is stored:
  store/          schedule.py snapshots.py changes.py sites.py scripts.py keys.py lua/
  redis/          the driver, one server or a cluster: client.py cluster.py node.py pipeline.py listener.py links.py
                  faults.py

Words, which import nothing of ours:
  model.py wire.py errors.py metrics.py logs.py reminder.py
"""
