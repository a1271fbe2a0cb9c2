"""The counters resource, live: one address, three ways to listen (JSON, server-sent events, WebSocket).

counters.py   JSON
sse.py        server-sent events
responses.py  what the two have in common: admission, CORS headers, errors as JSON
websocket.py  WebSocket, on the bare transport: the hot path
handshake.py  the opening handshake of a WebSocket
frames.py     what clients send on it (RFC 6455)
admission.py  which requests get counters: origins, sites, addresses, limits
"""
