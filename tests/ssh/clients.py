"""paramiko and asyncssh against a gateway: python clients.py PORT USER DIRECTORY"""

import asyncio
import os
import sys

import asyncssh
import paramiko

port, user, directory = int(sys.argv[1]), sys.argv[2], sys.argv[3]
data = os.urandom(1_000_000)


def with_paramiko():
    transport = paramiko.Transport(("127.0.0.1", port))
    transport.start_client()
    transport.auth_none(user)
    channel = transport.open_session()
    channel.exec_command("echo out; echo err >&2; exit 3")
    assert channel.makefile().read() == b"out\n"
    assert channel.makefile_stderr().read() == b"err\n"
    assert channel.recv_exit_status() == 3
    files = paramiko.SFTPClient.from_transport(transport)
    with files.open(directory + "/paramiko", "wb") as target:
        target.write(data)
    with files.open(directory + "/paramiko", "rb") as source:
        assert source.read() == data
    transport.close()
    # As most programs do it: a password, which nobody looks at.
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect("127.0.0.1", port, user, password="any", look_for_keys=False, allow_agent=False)
    client.close()


async def with_asyncssh():
    async with asyncssh.connect("127.0.0.1", port, username=user, known_hosts=None, client_keys=None) as connection:
        result = await connection.run("cat; exit 4", input="in")
        assert (result.stdout, result.exit_status) == ("in", 4)
        async with connection.start_sftp_client() as files:
            async with files.open(directory + "/asyncssh", "wb") as target:
                await target.write(data)
            assert await files.getsize(directory + "/asyncssh") == len(data)
        results = await asyncio.gather(*(connection.run(f"echo {at}") for at in range(20)))
        assert [result.stdout for result in results] == [f"{at}\n" for at in range(20)]
    try:
        await asyncssh.connect("127.0.0.1", port, username="w" * 32, known_hosts=None, client_keys=None)
        raise AssertionError("it was let in")
    except asyncssh.PermissionDenied as refused:
        assert "no running sandbox has this user name" in str(refused)


with_paramiko()
asyncio.run(with_asyncssh())
print("fine")
