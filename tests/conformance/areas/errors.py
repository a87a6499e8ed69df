"""Row 91: failed operations name the class and the code."""

from scenario import Area, rejection, settle

area = Area()
SCENARIOS = area.scenarios


@area.scenario(91, "classes and codes")
async def classes(context):
    fs, directory = context.sandbox.fs, context.directory
    await settle(fs.write_text_file(f"{directory}/file", "x"))
    await settle(fs.mkdir(f"{directory}/dir/sub", recursive=True))
    cases = (
        (lambda: fs.read_text_file(f"{directory}/none"), "NotFound", "ENOENT"),
        (lambda: fs.mkdir(f"{directory}/dir"), "AlreadyExists", "EEXIST"),
        (lambda: fs.read_text_file(f"{directory}/file/x"), "NotADirectory", "ENOTDIR"),
        (lambda: fs.remove(f"{directory}/dir"), "Error", "ENOTEMPTY"),
        (lambda: context.sandbox.spawn("/etc/passwd"), "PermissionDenied", "EACCES"),
    )
    for action, constructor, code in cases:
        error = await rejection(action)
        assert type(error) is Exception, repr(error)
        assert f"'constructor_name': '{constructor}'" in str(error) and f"'{code}'" in str(error), repr(error)
