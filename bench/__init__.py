"""What delivery costs, beside the limit of this machine and beside peers: ratios in one run.

`scripts/bench [--quick] [--json FILE]` starts each server on core 0 and the viewers on core 1, sends all of them the
same message, again and again in turn, and prints medians.

  load.c       the viewers: thousands of sockets, and who publishes to them
  limit.c      the limit: a loop in C, one send() a socket
  peers/       the same counter as others would serve it
  servers.py   starts and ends each server, and what it measures of it: CPU seconds, bytes
  viewers.py   load.c, driven from here
  __main__.py  the questions, the rounds, the table
"""
