"""Chaos test: breaks every part for a while, in an order given by a seed, and checks what viewers show meanwhile.

  __main__.py  `python -m bench.chaos`              checker.py   bounds and figures
  run.py       one run                              timeline.py  values over time, and outdated claims
  testbed.py   all processes and links              recorder.py  records changes of the local Wix
  faults.py    what is broken, and when             consumer.py  reads and checks the log of changes
  workload.py  actions of buyers and organisers     logs.py      log lines, and the faults that explain them
  report.py    output, and the tables of docs/reliability.md

The viewers (simulated_visitors.py), what a counter shows (canonical_counter.py), a process that is killed and started
again (supervised_process.py) and a link that fails on command (tcp_proxy.py) are in tests/rig.
"""
