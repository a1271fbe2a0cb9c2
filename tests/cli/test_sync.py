from tests.rig.sync_shop import SyncShop


async def test_try(sync_shop: SyncShop) -> None:
    """x."""
    print(sync_shop.slug)
    for words in (
        ["plan", sync_shop.slug],
        ["apply", sync_shop.slug],
        ["apply", sync_shop.slug, "--yes"],
        ["plan", sync_shop.slug, "--exit-code"],
        ["status"],
        ["parked"],
        ["diff", sync_shop.slug],
    ):
        print(words)
        for x in await sync_shop.run(*words):
            print(x)
    for i in await sync_shop.on_terminal("plan", sync_shop.slug):
        print(i)
    assert 0
