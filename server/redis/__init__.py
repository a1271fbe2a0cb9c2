"""Redis as this house uses it: one server or a cluster. It knows no site and no ticket.

client.py    three kinds of client, scripts by name, and what is wrong with a Redis
cluster.py   a cluster: which master has what
node.py      one server: its connections, and commands over them
pipeline.py  commands of many tasks on one connection, in one write
listener.py  pub/sub of one server, over one link
links.py     pub/sub of a cluster, a link to each master
faults.py    every way in which Redis can be away
"""
