"""What delivery costs, beside the limit of this machine and beside peers: ratios in one run.

`scripts/bench [--quick] [--json FILE] [QUESTION…]` starts each server on core 0 and the viewers on core 1, sends all of
them the same messages, again and again in turn, and prints medians. `python -m bench.report FILE` puts them in docs/.

  __main__.py    the rounds
  results.py     what was measured: table, JSON            report.py   docs/performance.md and its plot
  scenarios.py   what is asked of a server with viewers
  end_to_end.py  from a webhook to the last viewer         intake.py   what taking a webhook costs
  servers.py     starts and ends each server, and what is measured of it: CPU seconds, bytes
  server_configs.py  how each is started                       packets.py  the bytes that it is spoken to with
  install.py     fetches what the peers need               peers/      the same counter as others would serve it
  viewers.py     load.c, driven from here
  load.c         the viewers: thousands of sockets, and who publishes to them
  limit.c        the limit: a loop in C, one send() a socket and message
  post.c         who posts webhooks

`python -m bench.chaos` is another bench: it breaks everything for a while and judges what visitors read. Its own header
is the map of chaos/. What it has in common with the tests is in tests/rig, which imports nothing from here.
"""
