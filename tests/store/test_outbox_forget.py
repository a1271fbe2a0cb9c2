from server.campaign import ChannelName, RowState, State
from server.redis.client import RedisClient
from server.store.campaigns import Campaigns
from server.store.outbox import Outbox
from tests.rig.campaigns import campaign


async def outbox_of(store: RedisClient, worker: str = "worker") -> Outbox:
    """The outbox of a campaign with a row that was sent, and one that is unknown."""
    one = await Campaigns(store).open(campaign())
    assert one is not None
    outbox = Outbox(store, one, ChannelName.MAIL, worker)
    assert await outbox.take()
    for row, state in (("sent", RowState.SENT), ("unknown", RowState.UNKNOWN)):
        await outbox.claim(row, ())
        await outbox.mark(row, state)
    return outbox


async def test_row_that_is_forgotten(store: RedisClient) -> None:
    """A row that is forgotten is found no more, and every count stays, so that a campaign that is done stays done."""
    outbox = await outbox_of(store)
    before = await outbox.progress()

    assert [True, True, False] == [await outbox.forget(row) for row in ("sent", "unknown", "other")]
    assert [False, False] == [await outbox.has(row) for row in ("sent", "unknown")]
    assert [] == await outbox.unknown()
    assert before == await outbox.progress()
    assert await outbox.finish(State.DONE)


async def test_whether_a_worker_runs_it(store: RedisClient) -> None:
    """Whether a worker holds the lease can be seen by all, until it gives it back."""
    outbox = await outbox_of(store)
    reader = Outbox(store, outbox.campaign, ChannelName.MAIL, "reader")
    push = Outbox(store, outbox.campaign, ChannelName.PUSH, "reader")

    assert (True, False, True) == (await reader.is_held(), await push.is_held(), await reader.has("sent"))
    await outbox.release()
    assert not await reader.is_held()
