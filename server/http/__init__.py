"""Uvicorn as this server runs it: where it listens, and one HTTP connection with bounds to what it takes.

server.py       uvicorn's settings, and a server that run.py starts and ends
listen.py       the listening socket, and the address that a person can open
connection.py   one HTTP connection, bounded in size, time and number of requests
idle.py         connections that ask for nothing: bounded in number and time
descriptors.py  how many viewers the limit of open files allows, and for whom the last descriptors are
"""
