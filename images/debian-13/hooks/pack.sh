#!/bin/sh
# Writes the image. Run by mmdebstrap last, with the root's path as $1, so that owners are right in every mode it has.
# Reads: OUT (folder inside the root for what the host needs; not part of the image).
set -eu
root=$1
work=$root$OUT
dpkg-query --root="$root" --show --showformat '${Package}\t${Version}\n' > "$work/packages.tsv"
# The image's time is that of the newest package list it was made from, so that one state of the mirror gives one image.
epoch=$(grep --no-filename '^Date: ' "$root/var/lib/apt/lists/"*Release | sed 's/^Date: //' |
  while read -r date; do date --date "$date" +%s; done | sort --numeric-sort | tail -n 1)
[ -n "$epoch" ] || { echo "the package lists have no date" >&2; exit 1; }
rm -rf "$root/var/lib/apt/lists/"*
mkdir -p "$root/var/lib/apt/lists/partial"

# mmdebstrap keeps /proc, /sys and /dev mounted in the root while hooks run. A bind mount that is not recursive shows the
# tree without them.
view=$work/view
mkdir "$view"
mount --bind "$root" "$view"
trap 'umount "$view"; rmdir "$view"' EXIT

# Only what this build made is newer than the packages; their own times must stay: Python trusts a compiled file by the
# time of its source.
find "$view" -xdev -newermt "@$epoch" -exec touch --no-dereference --date "@$epoch" {} +
# mmdebstrap touches this one with root and makes it without.
touch --date "@$epoch" "$view/dev"

# Not compressed: reading costs a sandbox no CPU, and the host's page cache holds one copy for all of them.
# Left out: device nodes, as a sandbox's kernel makes its own, and what the build keeps in /tmp.
SOURCE_DATE_EPOCH=$epoch mkfs.erofs --quiet -U 6d1d0b62-6f4e-4c0c-9d1e-0d8f0e1d1300 --preserve-mtime \
  --exclude-path="${OUT#/}" --exclude-regex='^(dev|tmp)/' "$work/base.erofs" "$view"
