"""The cost of verifying a webhook's signature alone: PyJWT's decode in a loop, with the key loaded once."""

import json
import sys
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from server.wix.signature import LEEWAY, OPTIONS

BODIES, KEY, COUNT = sys.argv[1:]

if __name__ == "__main__":
    key = load_pem_public_key(Path(KEY).read_bytes())
    assert isinstance(key, RSAPublicKey)
    bodies = Path(BODIES).read_bytes().split()
    for body in bodies:
        jwt.decode(body, key, algorithms=["RS256"], leeway=LEEWAY, options=OPTIONS)
    cpu = time.process_time()
    for number in range(int(COUNT)):
        jwt.decode(bodies[number % len(bodies)], key, algorithms=["RS256"], leeway=LEEWAY, options=OPTIONS)
    print(json.dumps({"decoded": int(COUNT), "cpu": time.process_time() - cpu}))
