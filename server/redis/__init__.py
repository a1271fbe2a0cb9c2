"""The driver of Redis: one server, the master that Sentinels name, or a cluster. It knows no site, no ticket and no script of the store.

client.py     the client: commands, scripts, listeners, and a check of the server's configuration
cluster.py    a cluster: its slot map, and commands to the master of each key
node.py       one server: its connection pool, and commands over it
pipeline.py   commands of many tasks in one write
listener.py   pub/sub of one server, over one connection (a link)
links.py      pub/sub of a cluster, a link to each master
sentinel.py   the master that Sentinels name
rights.py     which permissions (ACL) are missing
unfit.py      what is wrong with a Redis, or its address, where waiting would not help
url.py        REDIS_URL, read
faults.py     which errors mean that Redis is unavailable
namespace.py  what names of keys and channels begin with
"""
