"""Rows 46-63: files by path."""

import asyncio
import io
import os

from scenario import Area, rejection, settle, shell

area = Area()
SCENARIOS = area.scenarios


async def fails(name: str, action) -> None:
    error = await rejection(action)
    assert f"'{name}'" in str(error), repr(error)


@area.scenario(46, "read: bytes as they are, empty, half a megabyte, relative path, missing, directory")
async def read_file(context):
    fs = context.sandbox.fs
    for name, data in (("all", bytes(range(256))), ("empty", b""), ("large", os.urandom(500_000))):
        await settle(fs.write_file(f"{context.directory}/{name}", data))
        assert await settle(fs.read_file(f"{context.directory}/{name}")) == data, name
    await settle(fs.write_text_file("relative.txt", "at home"))
    assert await settle(fs.read_file("/home/app/relative.txt")) == b"at home"
    await fails("NotFound", lambda: fs.read_file(f"{context.directory}/missing"))
    await rejection(lambda: fs.read_file(context.directory))


@area.scenario(47, "read text: UTF-8, with replacement characters where it is not")
async def read_text(context):
    fs = context.sandbox.fs
    await settle(fs.write_text_file(f"{context.directory}/t", "zwölf Boxkämpfer 🥊\n"))
    assert await settle(fs.read_text_file(f"{context.directory}/t")) == "zwölf Boxkämpfer 🥊\n"
    await settle(fs.write_file(f"{context.directory}/bad", b"a\xffb"))
    assert await settle(fs.read_text_file(f"{context.directory}/bad")) == "a\ufffdb"


@area.scenario(49, "write a stream: empty, in parts, from a file, failing")
async def write_stream(context):
    fs = context.sandbox.fs
    path = f"{context.directory}/w"
    for data, expected in ((iter([]), b""), (iter([b"a", b"b", b"c"]), b"abc"), (io.BytesIO(b"x" * 300_000), b"x" * 300_000)):
        await settle(fs.write_file(path, data))
        assert await settle(fs.read_file(path)) == expected

    def broken():
        yield b"begin"
        raise RuntimeError("source broke")

    await rejection(lambda: fs.write_file(f"{context.directory}/broken", broken()))


@area.scenario(49, "write an asynchronous stream", only="async")
async def write_async_stream(context):
    async def slowly():
        for part in (b"one ", b"two"):
            await asyncio.sleep(0.02)
            yield part

    await context.sandbox.fs.write_file(f"{context.directory}/s", slowly())
    assert await context.sandbox.fs.read_file(f"{context.directory}/s") == b"one two"


@area.scenario(50, "write text")
async def write_text(context):
    fs = context.sandbox.fs
    path = f"{context.directory}/s"
    await settle(fs.write_text_file(path, "a longer grün"))
    await settle(fs.write_text_file(path, "grün"))
    assert await settle(fs.read_text_file(path)) == "grün"
    info = await settle(fs.stat(path))
    assert (info["uid"], info["gid"], info["mode"] & 0o777) == (1000, 1000, 0o644), info


@area.scenario(51, "write options")
async def options(context):
    fs = context.sandbox.fs
    path = f"{context.directory}/o"
    await fails("NotFound", lambda: fs.write_text_file(path, "x", create=False))
    await settle(fs.write_text_file(path, "one", mode=0o640))
    assert (await settle(fs.stat(path)))["mode"] & 0o777 == 0o640
    await settle(fs.write_file(path, b" two", append=True))
    assert await settle(fs.read_text_file(path)) == "one two"
    await fails("AlreadyExists", lambda: fs.write_text_file(path, "x", create_new=True))


@area.scenario(52, "list a directory")
async def read_dir(context):
    await shell(context.sandbox, f"cd {context.directory} && touch file && mkdir dir && ln -s file link")
    entries = sorted(await settle(context.sandbox.fs.read_dir(context.directory)), key=lambda entry: entry["name"])
    assert entries == [
        {"name": "dir", "is_file": False, "is_directory": True, "is_symlink": False},
        {"name": "file", "is_file": True, "is_directory": False, "is_symlink": False},
        {"name": "link", "is_file": False, "is_directory": False, "is_symlink": True},
    ], entries
    await rejection(lambda: context.sandbox.fs.read_dir(f"{context.directory}/file"))


@area.scenario(53, "remove: file, empty directory, tree only when asked")
async def remove(context):
    fs = context.sandbox.fs
    await shell(context.sandbox, f"cd {context.directory} && touch f && mkdir -p empty tree/deep && touch tree/deep/x")
    await settle(fs.remove(f"{context.directory}/f"))
    await settle(fs.remove(f"{context.directory}/empty"))
    await rejection(lambda: fs.remove(f"{context.directory}/tree"))
    await settle(fs.remove(f"{context.directory}/tree", recursive=True))
    await fails("NotFound", lambda: fs.remove(f"{context.directory}/tree"))


@area.scenario(54, "make a directory: once, recursively, with a mode")
async def mkdir(context):
    fs = context.sandbox.fs
    await settle(fs.mkdir(f"{context.directory}/d", mode=0o700))
    info = await settle(fs.stat(f"{context.directory}/d"))
    assert info["is_directory"] and info["mode"] & 0o777 == 0o700
    await fails("AlreadyExists", lambda: fs.mkdir(f"{context.directory}/d"))
    await fails("NotFound", lambda: fs.mkdir(f"{context.directory}/a/b"))
    await settle(fs.mkdir(f"{context.directory}/a/b", recursive=True))
    await settle(fs.mkdir(f"{context.directory}/a/b", recursive=True))


@area.scenario(55, "rename: moves and replaces")
async def rename(context):
    fs = context.sandbox.fs
    a, b = f"{context.directory}/a", f"{context.directory}/b"
    await settle(fs.write_text_file(a, "a"))
    await settle(fs.write_text_file(b, "b"))
    await settle(fs.rename(a, b))
    assert await settle(fs.read_text_file(b)) == "a"
    await fails("NotFound", lambda: fs.rename(a, b))


@area.scenario(56, "copy: content and permissions, over an old file")
async def copy(context):
    fs = context.sandbox.fs
    a, b = f"{context.directory}/a", f"{context.directory}/b"
    await settle(fs.write_text_file(a, "content", mode=0o755))
    await settle(fs.write_text_file(b, "something longer than that"))
    await settle(fs.copy_file(a, b))
    assert await settle(fs.read_text_file(b)) == "content"
    assert (await settle(fs.stat(b)))["mode"] & 0o777 == 0o755


@area.scenario(57, "status has all fields; of a link, itself or its target")
async def stat(context):
    fs = context.sandbox.fs
    await shell(context.sandbox, f"cd {context.directory} && printf 12345 > f && ln f hard && ln -s f l")
    info = await settle(fs.stat(f"{context.directory}/l"))
    assert (info["is_file"], info["is_symlink"], info["size"], info["nlink"]) == (True, False, 5, 2), info
    expected = "is_file is_directory is_symlink size mtime atime birthtime ctime mode dev ino nlink uid gid rdev blksize blocks is_block_device is_char_device is_fifo is_socket"
    assert set(expected.split()) <= set(info), info
    assert info["mtime"].startswith("20"), info
    link = await settle(fs.lstat(f"{context.directory}/l"))
    assert (link["is_symlink"], link["is_file"]) == (True, False), link
    await fails("NotFound", lambda: fs.stat(f"{context.directory}/none"))


@area.scenario(58, "mode and owner")
async def owner(context):
    fs = context.sandbox.fs
    path = f"{context.directory}/f"
    await settle(fs.write_text_file(path, ""))
    await settle(fs.chmod(path, 0o4751))
    assert (await settle(fs.stat(path)))["mode"] & 0o7777 == 0o4751
    await settle(fs.chown(path, 1234))
    await settle(fs.chown(path, gid=4321))
    info = await settle(fs.stat(path))
    assert (info["uid"], info["gid"]) == (1234, 4321), info


@area.scenario(59, "links and real paths")
async def links(context):
    fs = context.sandbox.fs
    await settle(fs.write_text_file(f"{context.directory}/f", "x"))
    await settle(fs.link(f"{context.directory}/f", f"{context.directory}/hard"))
    assert (await settle(fs.stat(f"{context.directory}/hard")))["nlink"] == 2
    await settle(fs.symlink("f", f"{context.directory}/soft", type="file"))
    assert await settle(fs.read_link(f"{context.directory}/soft")) == "f"
    assert await settle(fs.real_path(f"{context.directory}/./soft")) == f"{context.directory}/f"


@area.scenario(60, "temporary directory and file")
async def temporary(context):
    fs = context.sandbox.fs
    assert (await settle(fs.make_temp_dir())).startswith("/tmp/")
    path = await settle(fs.make_temp_file(dir=context.directory, prefix="pre-", suffix=".txt"))
    assert path.startswith(f"{context.directory}/pre-") and path.endswith(".txt"), path
    assert (await settle(fs.stat(path)))["is_file"]


@area.scenario(61, "truncate: to nothing, shorter, longer with zeros")
async def truncate(context):
    fs = context.sandbox.fs
    path = f"{context.directory}/f"
    await settle(fs.write_text_file(path, "12345"))
    for length, expected in ((3, b"123"), (5, b"123\0\0"), (None, b"")):
        await settle(fs.truncate(path, length))
        assert await settle(fs.read_file(path)) == expected


@area.scenario(62, "mask: the previous one comes back, new files obey")
async def umask(context):
    fs = context.sandbox.fs
    before = await settle(fs.umask(0o077))
    try:
        assert await settle(fs.umask()) == 0o077
        await settle(fs.write_text_file(f"{context.directory}/f", ""))
        assert (await settle(fs.stat(f"{context.directory}/f")))["mode"] & 0o777 == 0o600
    finally:
        await settle(fs.umask(before))


@area.scenario(63, "access and modification time")
async def utime(context):
    fs = context.sandbox.fs
    path = f"{context.directory}/f"
    await settle(fs.write_text_file(path, ""))
    await settle(fs.utime(path, "2001-02-03T04:05:06.789Z", "2002-03-04T05:06:07.123Z"))
    info = await settle(fs.stat(path))
    assert info["atime"].startswith("2001-02-03T04:05:06.789"), info
    assert info["mtime"].startswith("2002-03-04T05:06:07.123"), info
