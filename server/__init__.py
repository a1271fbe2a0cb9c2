"""A real-time ticket counter for Wix Events sites: a shop window that tells the truth, live.

 Wix ──POST──▶ webhook ─┐                                     ┌▶ pub/sub ─▶ hub ─▶ live ─▶ <ticket-counter>
                        ├▶ [schedule] ─▶ refresh ─▶ snapshots ┤
   viewer, clock ───────┘               re-reads Wix          └▶ [changes]

A webhook is only a hint to look again; what Wix answers to a later read is the truth; stored and announced are one
step; viewers get whole counters, and the newest wins.

Roots, each imported only by those above it:
  cli.py          the commands
  crew.py         several web processes on one port, and their parent
  run.py          signals and drain; web and worker in one loop
  watch.py        prints counters as they change, from Redis's public channels
  front.py        uvicorn as we run it
  connection.py   one HTTP connection, bounded in size, time and number of requests
  port.py         where it listens
  valkey.py       the embedded server
  app.py          builds the web process
  worker.py       builds the worker process
  settings.py     the environment, validated once

Stages, which meet only in Redis:
  webhook.py      POST /webhooks/wix: verify, mark, 200
  refresh.py      who has what is due read: sites, claims, listings
  live/           the counters resource: JSON, SSE, WebSocket
  pages.py        widget file, embed page, health, metrics

Instruments:
  reader.py       one Wix query for due tickets of a site, snapshots, what is missing
  feed.py         keeps every topic of this process true: subscriptions, snapshots, rounds
  ear.py          what this process listens to in Redis
  foreign.py      counters that were made by other rules than ours
  hub.py          who watches what in this process, and how a change reaches them
  topics.py       one ticket that is watched; everyone who watches the same ones
  heartbeat.py    a sign of life to every viewer, spread over time
  unproven.py     ids that Wix has not confirmed: how many, and which gives way
  sites.py        the sites that Redis should know
  silence.py      webhooks that stay away
  wix/            signature.py, client.py, deadline.py, schema.py

Memory:
  schedule.py     mark, watch, claim, spend, settle
  snapshots.py    keep if newer
  changes.py      the log of changes, by group
  store/          Redis, one server or a cluster

Words, which import nothing of ours:
  model.py wire.py keys.py errors.py metrics.py logs.py reminder.py
"""
