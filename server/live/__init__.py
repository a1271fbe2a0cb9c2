"""The counters resource, live: one address, three ways to listen (JSON, server-sent events, WebSocket).

admission.py  who may come in: origins, addresses behind proxies, caps
websocket.py  WebSocket, on the bare transport: the hot path
handshake.py  how it opens, or does not
frames.py     what clients say on it (RFC 6455)
counters.py   JSON and server-sent events
request.py    whose counters a request may have
"""
