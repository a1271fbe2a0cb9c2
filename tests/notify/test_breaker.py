"""What replies mean for the server that gave them."""

import time
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from server.notify.breaker import SOON, Breaker, Permit
from server.notify.channels.channel import Reply, Result
from server.redis.client import RedisClient
from server.store.channel_servers import MOST_FAULTS, ChannelServers
from tests.rig.notify_models import DOWN, GREYLISTED, NO_ANSWER, REFUSED, REJECTS_US, SENT

FCM, MOZILLA = "push fcm.googleapis.com", "push updates.push.services.mozilla.com"


@pytest.fixture
def breaker(store: RedisClient) -> Breaker:
    return Breaker(ChannelServers(store), clock=time.time)


async def probe_is_due(store: RedisClient, server: str = "mail") -> None:
    """As if the time until the next probe had passed."""
    await store.do("HSET", f"tc:{{notify:{server}}}:state", "next_probe", time.time() - 1)


async def test_ten_faults_in_a_row_pause_a_server(breaker: Breaker) -> None:
    """Nine faults in a row pause nothing, the tenth does, and why is told once."""
    with capture_logs() as lines:
        for _ in range(MOST_FAULTS - 1):
            await breaker.heard(DOWN)
        assert Permit.FREE is await breaker.permit("mail")
        for _ in range(3):
            await breaker.heard(DOWN)

    assert Permit.HELD is await breaker.permit("mail")
    assert "mail: the connection was refused. start the relay" == await breaker.cause(["mail"])
    assert 1 == len([one for one in lines if one["event"] == "channel_paused"])


@pytest.mark.parametrize("good", [SENT, REFUSED, GREYLISTED])
async def test_recipients_fault_is_an_answer_of_the_server(breaker: Breaker, good: Reply) -> None:
    """A server that takes a message, or refuses one recipient, works: its faults before do not count any more."""
    for _ in range(2):
        for _ in range(MOST_FAULTS - 1):
            await breaker.heard(DOWN)
        await breaker.heard(good)

    assert Permit.FREE is await breaker.permit("mail")


async def test_answers_that_never_come_pause_a_server(breaker: Breaker) -> None:
    """A relay that takes messages and never says so does not make every recipient unknown."""
    for _ in range(MOST_FAULTS):
        await breaker.heard(NO_ANSWER)

    assert Permit.HELD is await breaker.permit("mail")


async def test_refusal_that_meets_all_pauses_at_once(breaker: Breaker) -> None:
    """A refused password pauses the relay at the first reply, and no other server."""
    await breaker.heard(REJECTS_US)

    assert Permit.HELD is await breaker.permit("mail")
    assert Permit.FREE is await breaker.permit(FCM)
    assert 0 < await breaker.held_for("mail")


async def test_one_worker_probes_and_a_good_reply_resumes(breaker: Breaker, store: RedisClient) -> None:
    """When a probe is due, one worker may try one message; a good reply ends the pause."""
    await breaker.heard(REJECTS_US)
    await probe_is_due(store)
    assert [Permit.PROBE, Permit.HELD] == [await breaker.permit("mail"), await breaker.permit("mail")]

    with capture_logs() as lines:
        await breaker.heard(SENT)
    assert Permit.FREE is await breaker.permit("mail")
    assert ["channel_paused_no_more"] == [one["event"] for one in lines]
    assert "" == await breaker.cause(["mail"])


async def test_probe_that_fails_is_repeated_later_each_time(breaker: Breaker, store: RedisClient) -> None:
    """The time until the next probe grows with each that fails."""
    await breaker.heard(REJECTS_US)
    waits = []
    for _ in range(3):
        waits.append(await breaker.held_for("mail"))
        await probe_is_due(store)
        assert Permit.PROBE is await breaker.permit("mail")
        await breaker.heard(REJECTS_US)

    assert waits == sorted(waits)
    assert waits[0] * 3 < waits[2]


async def test_only_the_service_that_asked_for_it_waits(breaker: Breaker) -> None:
    """Retry-After of one push service makes no other one wait."""
    await breaker.heard(Reply(Result.AGAIN, FCM, "too many requests", "429", retry_after=30))

    assert [Permit.HELD, Permit.FREE] == [await breaker.permit(FCM), await breaker.permit(MOZILLA)]
    assert 25 < await breaker.next_try([FCM]) <= 30
    assert SOON == await breaker.next_try([FCM, MOZILLA])
    assert f"{FCM}: it asked us to wait" == await breaker.cause([FCM, MOZILLA])


async def test_person_resumes_a_paused_server(breaker: Breaker, store: RedisClient) -> None:
    """A person ends a pause at once."""
    await breaker.heard(replace(REJECTS_US))
    await breaker.servers.resume("mail")

    assert Permit.FREE is await breaker.permit("mail")
