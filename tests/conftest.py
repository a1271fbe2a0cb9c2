"""Fixtures live beside the server that they start, in tests/rig."""

pytest_plugins = ["tests.rig.redis", "tests.rig.browser", "tests.rig.server", "tests.rig.process"]
