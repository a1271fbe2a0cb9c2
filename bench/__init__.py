"""Benchmarks: what delivery costs, compared with this machine's limit and with other servers, as ratios within a run.

`scripts/bench [--quick] [--json FILE] [SCENARIO…]` starts each server on core 0 and the viewers on core 1, sends the
same messages to all servers in alternating rounds, and prints medians. `python -m bench.report FILE` writes docs/.

  __main__.py        command line, rounds
  scenarios.py       measurements of a server with viewers
  end_to_end.py      from a webhook to the last viewer
  intake.py          what accepting a webhook costs
  results.py         all figures: table, JSON
  report.py          docs/performance.md and its plot

  servers.py         starts and stops servers; measures CPU seconds and memory
  server_configs.py  how each server is started and published to
  install.py         downloads what the peers need
  peers/             the same counter on other servers
  packets.py         raw messages: Redis, HTTP, MQTT, WebSocket

  widget.py          what the widget costs a page: `python -m bench.widget`

  viewers.py         controls load.c
  load.c             the viewers: thousands of sockets, and the publisher
  limit.c            the limit: a loop in C, one send() per socket and message
  post.c             posts webhooks

`python -m bench.time_to_truth` measures how long an order takes to the last viewer, also with an older revision: see
bench/time_to_truth. `python -m bench.notify_load` measures what a campaign of notify costs the counter: see
bench/notify_load. `python -m bench.chaos` and `python -m bench.upgrade` are different tests: see bench/chaos and
bench/upgrade. Code shared with the tests is in tests/rig, which imports nothing from here.
"""
