"""The counters resource: JSON, server-sent events, WebSocket.

counters.py   JSON
sse.py        server-sent events
poll.py       a viewer that stays until it has seen enough
responses.py  what JSON and server-sent events share: admission, CORS headers, errors as JSON
websocket.py  WebSocket, on the bare transport: the hot path
handshake.py  the opening handshake of a WebSocket
host.py       the header Host of a request
client_address.py  a client's address, by TRUSTED_PROXIES
untrusted_peers.py  notes which peers send X-Forwarded-For and are not trusted
frames.py     what clients send on it (RFC 6455)
admission.py  which requests get counters: origins, sites, addresses, limits
"""
