"""Uvicorn as this server runs it: where it listens, and one HTTP connection with limits on what a client may send.

server.py       uvicorn's configuration, and a server that run.py starts and ends
listen.py       the listening socket, the address that a person can open, the port that several processes share
connection.py   one HTTP connection, limited in size, time and number of requests
upgrade.py      from HTTP to WebSocket: which requests upgrade, and the change of the connection's protocol
idle.py         idle connections, limited in number and time
descriptors.py  how many viewers the limit of open files allows, and what the last descriptors are for
"""
