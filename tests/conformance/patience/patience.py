"""A plugin of pytest: an emulated processor on a busy host is slower than the service that the limits were made for."""

import pytest

FACTOR = 10


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    for item in items:
        own = item.get_closest_marker("timeout")
        seconds = own.args[0] if own is not None else float(config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(seconds * FACTOR), append=False)
