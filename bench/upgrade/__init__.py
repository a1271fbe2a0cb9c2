"""An upgrade with old processes still running: an older revision and this code share a Redis, and every frame is checked.

__main__.py  `python -m bench.upgrade --old REV`    stages.py   what is started and stopped, in order
checker.py   every frame against the truth          parts.py    the processes of both revisions, Redis, the local Wix, viewers
"""
