"""Rows 6, 42-45: environment variables of the sandbox."""

from scenario import Area, settle, shell

area = Area()
SCENARIOS = area.scenarios


@area.scenario(6, "variables given at create reach every program")
async def at_create(context):
    async with context.mode.create(env={"A_GREETING": "grüße = 'x'", "EMPTY": ""}) as sandbox:
        assert await shell(sandbox, 'printf %s "$A_GREETING"') == "grüße = 'x'"
        assert await shell(sandbox, 'printf %s "${EMPTY-unset}"') == ""


@area.scenario(42, "get: a value, and None for a missing name")
async def get(context):
    assert await settle(context.sandbox.env.get("HOME")) == "/home/app"
    assert "/usr/bin" in await settle(context.sandbox.env.get("PATH"))
    assert await settle(context.sandbox.env.get("NO_SUCH_NAME")) is None


@area.scenario(43, "set: programs started later see it")
async def set_one(context):
    await settle(context.sandbox.env.set("SET_HERE", "a=b c"))
    assert await settle(context.sandbox.env.get("SET_HERE")) == "a=b c"
    assert await shell(context.sandbox, 'printf %s "$SET_HERE"') == "a=b c"


@area.scenario(44, "client bug: all names, in snake case")
async def everything(context):
    await settle(context.sandbox.env.set("INDICT", "yes"))
    found = await settle(context.sandbox.env.as_dict())
    assert found["h_o_m_e"] == "/home/app", found
    assert found["i_n_d_i_c_t"] == "yes"


@area.scenario(45, "delete: gone for programs started later, and twice is fine")
async def delete(context):
    await settle(context.sandbox.env.set("DOOMED", "1"))
    await settle(context.sandbox.env.delete("DOOMED"))
    await settle(context.sandbox.env.delete("DOOMED"))
    assert await settle(context.sandbox.env.get("DOOMED")) is None
    assert await shell(context.sandbox, 'printf %s "${DOOMED-gone}"') == "gone"
