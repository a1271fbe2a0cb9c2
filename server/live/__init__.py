"""The counters resource, live: one address, three ways to listen (JSON, server-sent events, WebSocket).

doors.py      who may come in: origins, addresses behind proxies, caps
protocol.py   WebSocket, on the bare transport: the hot path
counters.py   JSON and server-sent events
"""
