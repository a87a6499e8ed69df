"""Row 16, against a platform that allows one sandbox at a time."""

from scenario import Area, rejection, settle

area = Area()
SCENARIOS = area.scenarios
SHARED = False


@area.scenario(16, "one sandbox too many is refused with 429, and welcome again when there is room")
async def too_many(context):
    async with context.mode.create() as first:
        error = await rejection(lambda: context.mode.create().__aenter__())
        assert "HTTP 429" in str(error), repr(error)
        await settle(first.kill())
    async with context.mode.create() as second:
        await settle(second.kill())
