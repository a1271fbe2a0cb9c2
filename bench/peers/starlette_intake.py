"""Webhooks as in a tutorial: a Starlette route, PyJWT, one redis-py call per request."""

import json
import sys
import time
from pathlib import Path

import jwt
import redis.asyncio
import uvicorn
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PORT, REDIS, KEY = sys.argv[1:]
found = load_pem_public_key(Path(KEY).read_bytes())
assert isinstance(found, RSAPublicKey)
key = found
client = redis.asyncio.from_url(f"redis://127.0.0.1:{REDIS}/0")


async def webhook(request: Request) -> Response:
    """Accept one webhook."""
    try:
        claims = jwt.decode(await request.body(), key, algorithms=["RS256"], options={"verify_aud": False})
    except jwt.PyJWTError:
        return Response(status_code=401)
    envelope = json.loads(claims["data"])
    order = json.loads(envelope["data"])
    due = {ticket["ticketDefinitionId"]: time.time() for ticket in order["tickets"]}
    await client.zadd(f"due:{envelope['instanceId']}", due, lt=True)
    return Response(status_code=200)


if __name__ == "__main__":
    app = Starlette(routes=[Route("/webhooks/wix", webhook, methods=["POST"])])
    uvicorn.run(app, port=int(PORT), log_level="warning", access_log=False, loop="uvloop", http="httptools")
