"""The counters resource, live: one address, three ways to listen (JSON, server-sent events, WebSocket).

doors.py      who may come in: origins, addresses behind proxies, caps
protocol.py   WebSocket, on the bare transport: the hot path
handshake.py  how it opens, for the request that browsers send
frames.py     what clients say on it (RFC 6455)
counters.py   JSON and server-sent events
"""
