import base64
import inspect
import json
import re
import socket
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.api_jws import PyJWS
from jwt.utils import base64url_encode

from server.errors import Forged, Malformed, OtherKey, WrongTime
from server.model import Hint, Install, Named, Webhook
from server.wix import webhooks
from server.wix.signature import LEEWAY, LONGEST_HEADER, LONGEST_LOOKED_AT, Segments, token_decoder, verify
from tests.rig.fake_reader import EVENT
from tests.rig.server import OTHER, SITE, TICKET

SAMPLES: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "samples" / "webhooks.json").read_text()
)
KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
STRANGER = rsa.generate_private_key(65537, 2048)
REMOVED = {"eventType": "AppRemoved", "instanceId": SITE, "data": "{}"}
UPDATED = "wix.events.v3.ticket_definition_updated"

Spoil = Callable[[bytes], bytes]


def sign(
    envelope: Any = None, key: Any = KEY, algorithm: str = "RS256", *, headers: Any = None, **claims: Any
) -> bytes:
    """A webhook as Wix signs it, except for the given parts."""
    data = json.dumps(REMOVED if envelope is None else envelope)
    return jwt.encode({"data": data, **claims}, key, algorithm, headers=headers).encode()


def by_hand(header: bytes, payload: bytes = b"{}", signature: bytes = b"x") -> bytes:
    """A token whose parts no library would write."""
    return b".".join(base64url_encode(part) for part in (header, payload, signature))


def raw(claims: bytes) -> bytes:
    """Claims of any content, correctly signed."""
    return jwt.api_jws.encode(claims, KEY, "RS256").encode()


def in_envelope(data: Any, type_: str = UPDATED) -> bytes:
    return sign({"eventType": type_, "instanceId": SITE, "data": data})


def check(body: bytes) -> Webhook:
    return verify(body, KEY.public_key())


# -- accepted --


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("order_confirmed", Hint("order_confirmed", (TICKET, OTHER), EVENT)),  # type: ignore[arg-type]
        ("event_canceled", Hint("event_canceled", event=EVENT, named=Named.EVENT, of_event=True)),  # type: ignore[arg-type]
        ("app_installed", Install(installed=True)),
    ],
)
def test_signed_webhook_is_parsed(name: str, meaning: Hint | Install) -> None:
    """A webhook that Wix signed is parsed through its three layers: the claims, the envelope, the payload."""
    sample = SAMPLES[name]
    now = int(time.time())

    found = check(
        sign(
            {
                "data": json.dumps(sample["data"]),
                "instanceId": SITE.upper(),
                "eventType": sample["eventType"],
                "identity": json.dumps({"identityType": "WIX_USER"}),
                "accountInfo": {"siteId": OTHER},
            },
            headers={"kid": "fict1ona"},
            iat=now,
            exp=now + 3600,
        )
    )

    assert (sample["eventType"], SITE, meaning) == (found.type, found.site, found.meaning)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"exp": lambda now: now + 1},
        {"exp": lambda now: now - LEEWAY + 10},
        {"nbf": lambda now: now + LEEWAY - 10},
        {"iat": lambda now: now + 3600},
        {"iat": lambda now: "yesterday"},
        {"iss": lambda now: "someone", "aud": lambda now: ["another"], "sub": lambda now: 7, "jti": lambda now: 7},
    ],
)
def test_accepted_claims(claims: dict[str, Callable[[float], Any]]) -> None:
    """Times may be missing or off by two minutes, and other claims are ignored, as in Wix's own receiver."""
    now = time.time()
    token = raw(
        json.dumps({"data": json.dumps(REMOVED), **{name: value(now) for name, value in claims.items()}}).encode()
    )

    assert "AppRemoved" == check(token).type


@pytest.mark.parametrize(("before", "after"), [(b"", b"\n"), (b"", b"\r\n"), (b" \t\n", b" ")])
def test_white_space_around_the_token(before: bytes, after: bytes) -> None:
    """White space around the token is ignored."""
    assert "AppRemoved" == check(before + sign() + after).type


@pytest.mark.parametrize(
    "type_", ["AppInstalled2", "wix.events.v3.ticket_definition_", "wix.stores.v1.product_changed"]
)
def test_unknown_type_is_accepted_and_ignored(type_: str) -> None:
    """A webhook of an unknown type is accepted and ignored, and its payload is not parsed."""
    found = check(in_envelope("[" * 5000, type_))

    assert Webhook("unknown", SITE, None) == found  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("slug", "holder", "member", "sent"),
    [
        ("created", "createdEvent", "entity", json.dumps),
        ("updated", "updatedEvent", "currentEntity", json.dumps),
        ("deleted", "deletedEvent", "deletedEntity", json.dumps),
        ("created", "createdEvent", "entity", dict),
        ("updated", "updatedEvent", "currentEntity", dict),
        ("deleted", "deletedEvent", "deletedEntity", dict),
    ],
)
def test_entity_as_text_or_object(slug: str, holder: str, member: str, sent: Callable[[Any], Any]) -> None:
    """The entity of a domain event is parsed as a JSON string, as Wix types it, and as an object, as Wix sends it."""
    entity = {"tickets": [{"ticketDefinitionId": TICKET}]}
    payload = {holder: {member: sent(entity), "modifiedFields": "text"}}

    found = check(in_envelope(json.dumps(payload), f"wix.events.v1.ticket_reservation_{slug}"))

    assert Hint(f"reservation_{slug}", (TICKET,)) == found.meaning  # type: ignore[arg-type]


# -- forged --

GOOD = sign()
HEAD, CLAIMS, SIGNATURE = GOOD.split(b".")
NOW = int(time.time())


def hmac(key: bytes, bits: int = 256) -> bytes:
    """A token signed with a publicly known key, which PyJWT itself refuses to make."""
    algorithm = jwt.algorithms.HMACAlgorithm(getattr(jwt.algorithms.HMACAlgorithm, f"SHA{bits}"))
    text = base64url_encode(b'{"alg":"HS%d","typ":"JWT"}' % bits) + b"." + CLAIMS
    return text + b"." + base64url_encode(algorithm.sign(text, key))


def signed_by_another_key(header: bytes, claims: bytes = b'{"data":"{}"}') -> bytes:
    """A token whose header no library would write, signed with another key as RS256 would be."""
    algorithm = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
    text = base64url_encode(header) + b"." + base64url_encode(claims)
    return text + b"." + base64url_encode(algorithm.sign(text, STRANGER))


DER = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
PKCS1 = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
JWK = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(STRANGER.public_key()))
ELSEWHERE = {"jku": "http://127.0.0.1:9/keys", "x5u": "http://127.0.0.1:9/chain", "x5c": ["MII"], "jwk": JWK}
"""Where a token says that its key is to be found."""


FORGED: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \n",
    "nonsense": b"nonsense",
    "binary": b"\xff\xfe\x00",
    "json": b'{"eventType":"AppRemoved"}',
    "dots": b"..",
    "quoted": json.dumps(GOOD.decode()).encode(),
    "bearer": b"Bearer " + GOOD,
    "inside": HEAD + b". " + CLAIMS + b"." + SIGNATURE,
    "two parts": HEAD + b"." + CLAIMS,
    "four parts": GOOD + b".e30",
    "no signature": HEAD + b"." + CLAIMS + b".",
    "other claims": b".".join((HEAD, base64url_encode(b'{"data":"{}"}'), SIGNATURE)),
    "other header": b".".join((base64url_encode(b'{"alg":"RS256","kid":"x"}'), CLAIMS, SIGNATURE)),
    "other signature": b".".join((HEAD, CLAIMS, base64url_encode(b"x" * 256))),
    "short signature": GOOD[:-8],
    "other key": sign(key=STRANGER),
    "none": sign(key=None, algorithm="none"),
    "none, signed": b".".join((base64url_encode(b'{"alg":"none"}'), CLAIMS, SIGNATURE)),
    "None": b".".join((base64url_encode(b'{"alg":"None"}'), CLAIMS, SIGNATURE)),
    "HS256 of the public key": hmac(PEM.encode()),
    "HS256 of the public key, trimmed": hmac(PEM.strip().encode()),
    "HS256 of the public key as DER": hmac(DER),
    "HS256 of the public key as PKCS 1": hmac(PKCS1),
    "HS256 of the public key as it is in the settings": hmac(base64.b64encode(PEM.encode())),
    "HS384 of the public key": hmac(PEM.encode(), 384),
    "HS512 of the public key": hmac(PEM.encode(), 512),
    "HS256 of nothing": hmac(b""),
    "RS512": sign(algorithm="RS512"),
    "RS384": sign(algorithm="RS384"),
    "PS256": sign(algorithm="PS256"),
    "ES256": sign(key=ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"),
    "key of its own": sign(key=STRANGER, headers={"jwk": JWK}),
    "keys elsewhere": sign(key=STRANGER, headers=ELSEWHERE),
    "key in a file": sign(key=STRANGER, headers={"kid": "../../../../dev/null"}),
    "alg in small letters": signed_by_another_key(b'{"alg":"rs256"}'),
    "alg with an end": signed_by_another_key(b'{"alg":"RS256\\u0000"}'),
    "alg twice": signed_by_another_key(b'{"alg":"none","alg":"RS256"}'),
    "alg twice, none last": by_hand(b'{"alg":"RS256","alg":"none"}', b'{"data":"{}"}', b""),
    "alg by another writing": signed_by_another_key(b'{"\\u0061lg":"RS256"}'),
    "deep in the header": signed_by_another_key(b'{"alg":"RS256","x":' + b"[" * 900 + b"]" * 900 + b"}"),
    "long header": signed_by_another_key(b'{"alg":"RS256","x":"' + b"x" * LONGEST_HEADER + b'"}'),
    "long header, well signed": sign(headers={"x": "x" * LONGEST_HEADER}),
    "long claims": signed_by_another_key(b'{"alg":"RS256"}', b'{"data":"' + b"x" * 700_000 + b'"}'),
    "compressed": signed_by_another_key(b'{"alg":"RS256","zip":"DEF"}', zlib.compress(b'{"data":"{}"}')),
    "encrypted": b".".join((base64url_encode(b'{"alg":"RSA-OAEP","enc":"A256GCM"}'), b"x", b"x", b"x", b"x")),
    "as JSON": json.dumps(
        {"protected": HEAD.decode(), "payload": CLAIMS.decode(), "signature": SIGNATURE.decode()}
    ).encode(),
    "twice": GOOD + b"\n" + GOOD,
    "with an end": GOOD + b"\0",
    "with a mark": b"\xef\xbb\xbf" + GOOD,
    "in UTF-16": GOOD.decode().encode("utf-16"),
    "as an address": GOOD.replace(b".", b"%2E"),
    "crit": sign(headers={"crit": ["exp"]}),
    "crit of an unknown": sign(headers={"crit": ["x"], "x": 1}),
    "unencoded": sign(headers={"b64": False}),
    "expired": sign(exp=NOW - LEEWAY - 10),
    "not yet": sign(nbf=NOW + LEEWAY + 3600),
    "exp of text": raw(b'{"data":"{}","exp":"soon"}'),
    "exp of an object": raw(b'{"data":"{}","exp":{}}'),
    "exp beyond numbers": raw(b'{"data":"{}","exp":1e999}'),
    "claims in a list": raw(b"[]"),
    "claims that are no JSON": raw(b"nonsense"),
    "claims beyond depth": raw(b"[" * 100_000),
    "header beyond depth": by_hand(b"[" * 2000),
    "header in a list": by_hand(b"[]"),
    "header without alg": by_hand(b"{}"),
    "alg in a list": by_hand(b'{"alg":["RS256"]}'),
    "alg of null": by_hand(b'{"alg":null}'),
    "kid of a number": by_hand(b'{"alg":"RS256","kid":7}'),
    "header beyond numbers": by_hand(b'{"alg":"RS256","x":' + b"1" * 5000 + b"}"),
    "header in latin-1": by_hand(b'{"alg":"\xe9"}'),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_webhook_is_refused(name: str) -> None:
    """A token not signed by Wix, out of date or not RS256 is forged; the reason never repeats the content."""
    with pytest.raises(Forged) as caught:
        check(FORGED[name])

    expected = {
        OtherKey: r"a webhook whose signature is not of WIX_PUBLIC_KEY",
        WrongTime: r"signed by Wix, but not valid at this time: \w+",
        Forged: r"not a token signed by Wix: \w+",
    }
    assert re.fullmatch(expected[type(caught.value)], str(caught.value))


@pytest.mark.parametrize("name", ["other key", "other signature", "keys elsewhere"])
def test_another_apps_key_is_told_from_an_attack(name: str) -> None:
    """A webhook of the shape of Wix's with another signature says that WIX_PUBLIC_KEY may be another app's."""
    with pytest.raises(OtherKey):
        check(FORGED[name])


@pytest.mark.parametrize("data", ["{}", "[]", "nonsense", json.dumps({**REMOVED, "instanceId": "no id"}), "[" * 900, 7])
def test_other_content_with_another_signature_is_forged(data: Any) -> None:
    """What has not the shape of a webhook, or is too long for one, says nothing of the key."""
    forged = [jwt.encode({"data": data}, STRANGER, "RS256").encode(), sign(key=STRANGER, x="x" * LONGEST_LOOKED_AT)]

    for one in forged:
        with pytest.raises(Forged) as caught:
            check(one)
        assert Forged is type(caught.value)


@pytest.mark.parametrize("name", ["expired", "not yet"])
def test_webhook_of_another_time_is_told(name: str) -> None:
    """A right signature with a time that is over, or has not come, says that a clock is wrong."""
    with pytest.raises(WrongTime):
        check(FORGED[name])


def test_key_named_in_a_token_is_never_fetched() -> None:
    """If a correctly signed token names another key, the configured one is used, and nothing is fetched."""
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        url = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/keys"

        found = check(sign(headers={**ELSEWHERE, "jku": url, "x5u": url}))

        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    assert "AppRemoved" == found.type


def test_last_of_two_equal_members_counts() -> None:
    """Of two members with the same name in what Wix signed the last one counts, as in every common JSON parser."""
    twice = json.dumps(REMOVED)[:-1] + ',"eventType":"AppInstalled"}'

    assert Install(installed=True) == check(raw(json.dumps({"data": twice}).encode())).meaning


@given(st.binary(max_size=200) | st.binary(max_size=60).map(by_hand))
def test_any_unsigned_body_is_forged(body: bytes) -> None:
    """Any body that Wix did not sign is forged, and nothing else happens."""
    with pytest.raises(Forged):
        check(body)


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 127))
def test_any_changed_byte_makes_a_token_forged(place: int, by: int) -> None:
    """A token with any byte changed is forged, except for the unused bits of the last one."""
    body = bytearray(GOOD)
    body[place] ^= by

    try:
        found = check(bytes(body))
    except Forged:
        return

    assert (len(GOOD) - 1, "AppRemoved") == (place, found.type)


SEGMENTS = st.one_of(
    st.binary(max_size=40).map(base64url_encode),
    st.tuples(
        st.binary(max_size=9).map(base64url_encode), st.sampled_from([b"=", b"==", b"===", b"A", b"\n", b"."])
    ).map(b"".join),
    st.lists(st.sampled_from(b"ABYZabyz0189-_+/=!\n \xff"), max_size=12).map(bytes),
    st.binary(max_size=20),
)


def decoded(by: type[PyJWS], segment: bytes) -> bytes | str:
    try:
        return by._decode_base64url_segment(segment, "x")
    except jwt.DecodeError as error:
        return str(error)


@given(SEGMENTS)
@settings(max_examples=1000)
def test_segments_are_decoded_as_pyjwt_does(segment: bytes) -> None:
    """A segment is accepted or refused exactly as by PyJWT, with the same bytes and the same words."""
    assert decoded(PyJWS, segment) == decoded(Segments, segment)


def test_pyjwt_uses_the_faster_segment_decoder() -> None:
    """The installed PyJWT calls the step that is replaced: with another PyJWT webhooks would silently be slow."""
    assert isinstance(token_decoder()._jws, Segments)
    assert 3 == inspect.getsource(PyJWS._load).count(f"self.{PyJWS._decode_base64url_segment.__name__}(")


@pytest.mark.parametrize(
    "step",
    [
        {},
        {"_decode_base64url_segment": None},
        {"_decode_base64url_segment": staticmethod(lambda segment: segment)},
        {"_decode_base64url_segment": staticmethod(lambda segment, name, strict: segment)},
        {"_decode_base64url_segment": lambda self, segment, name: segment},
    ],
)
def test_unknown_pyjwt_is_left_unchanged(step: dict[str, Any]) -> None:
    """A PyJWT without the expected step is left unchanged, so that no webhook is refused because of it."""
    found = token_decoder(type("PyJWS", (), step))

    assert not isinstance(found._jws, Segments)
    assert REMOVED == json.loads(found.decode(GOOD, KEY.public_key(), algorithms=["RS256"], leeway=LEEWAY)["data"])


# -- signed and malformed --


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (raw(b"{}"), "data is NoneType, not a JSON string"),
        (raw(b'{"data":{}}'), "data is dict, not a JSON string"),
        (raw(b'{"data":""}'), "data is not JSON: JSONDecodeError"),
        (
            raw(json.dumps({"data": "[" * 100_000}).encode()),
            "data is not JSON: RecursionError",
        ),
        (sign([]), "data is list, not an object"),
        (sign({**REMOVED, "eventType": None}), "data.eventType is not a name"),
        (sign({**REMOVED, "eventType": ""}), "data.eventType is not a name"),
        (sign({**REMOVED, "eventType": "x" * 151}), "data.eventType is not a name"),
        (sign({**REMOVED, "eventType": ["AppRemoved"]}), "data.eventType is not a name"),
        (sign({**REMOVED, "instanceId": None}), "data.instanceId is not a GUID"),
        (sign({**REMOVED, "instanceId": "x"}), "data.instanceId is not a GUID"),
        (sign({**REMOVED, "instanceId": {}}), "data.instanceId is not a GUID"),
        (sign({"eventType": UPDATED, "instanceId": SITE}), "data.data is NoneType, not a JSON string"),
        (in_envelope({"entityId": TICKET}), "data.data is dict, not a JSON string"),
        (in_envelope("null"), "data.data is NoneType, not an object"),
        (in_envelope("{"), "data.data is not JSON: JSONDecodeError"),
        (in_envelope("[" * 100_000), "data.data is not JSON: RecursionError"),
        (in_envelope("1" * 5000), "data.data is not JSON: ValueError"),
        (
            in_envelope('{"updatedEvent":{"currentEntity":"text"}}'),
            "data.data.updatedEvent.currentEntity is not JSON: JSONDecodeError",
        ),
        (
            in_envelope('{"createdEvent":{"entity":"[]"}}'),
            "data.data.createdEvent.entity is list, not an object",
        ),
        (
            in_envelope(json.dumps({"deletedEvent": {"deletedEntity": '{"a":' * 100_000}})),
            "data.data.deletedEvent.deletedEntity is not JSON: RecursionError",
        ),
    ],
)
def test_malformed_webhook_names_layer_and_member(body: bytes, reason: str) -> None:
    """A signed webhook of another shape is malformed; the layer and the bad member are named, its value is not."""
    with pytest.raises(Malformed) as caught:
        check(body)

    assert reason == str(caught.value)


def test_longest_event_type() -> None:
    """A type may have 150 characters, as Wix allows."""
    assert "unknown" == check(sign({**REMOVED, "eventType": "x" * 150})).type


@given(
    st.sampled_from(sorted(webhooks.KNOWN)),
    st.text(max_size=100) | st.dictionaries(st.text(), st.text()).map(json.dumps),
)
def test_any_signed_payload_is_parsed_or_malformed(type_: str, data: str) -> None:
    """Any payload that Wix signs is a webhook or malformed."""
    try:
        found = check(in_envelope(data, type_))
    except Malformed:
        return

    assert (type_, SITE) == (found.type, found.site)
