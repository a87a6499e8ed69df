#!/bin/sh
# Writes the image. Run by mmdebstrap last, with the root's path as $1, so that owners are right in every mode it has.
# Reads: OUT (folder inside the root for what the host needs; not part of the image), SOURCE_DATE_EPOCH.
set -eu
root=$1
work=$root$OUT
dpkg-query --root="$root" --show --showformat '${Package}\t${Version}\n' > "$work/packages.tsv"
# Only what this build made is newer than the packages; their own times must stay: Python trusts a compiled file by the
# time of its source.
find "$root" -xdev -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
mkfs.erofs --quiet -U 6d1d0b62-6f4e-4c0c-9d1e-0d8f0e1d1300 -T "$SOURCE_DATE_EPOCH" --preserve-mtime \
  --exclude-path="${OUT#/}" $EROFS_OPTIONS "$work/base.erofs" "$root"
