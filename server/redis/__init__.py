"""The driver of Redis, one server or a cluster. It knows no site, no ticket and no script of the store.

client.py    the client: commands, scripts, listeners, and a check of the server's configuration
cluster.py   a cluster: which master has what
node.py      one server: its connections, and commands over them
pipeline.py  commands of many tasks on one connection, in one write
listener.py  pub/sub of one server, over one link
links.py     pub/sub of a cluster, a link to each master
faults.py    every way in which Redis can be away
"""
