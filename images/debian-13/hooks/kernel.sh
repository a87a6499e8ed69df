#!/bin/sh
# Fetches the guest kernel, installs its modules in the root and leaves in OUT what the host needs to boot it.
# The package is unpacked, not installed: its scripts would build an initramfs and a boot loader entry nobody uses, and
# `apt-get upgrade` in a sandbox must not replace a kernel that is given by the host. Run by mmdebstrap, root's path as $1.
# Reads: RECIPE (this folder's parent), OUT (folder inside the root for what the host needs), KERNEL_PACKAGE.
set -eu
root=$1
work=$root$OUT
mkdir -p "$work/deb" "$work/modules"

cd "$work/deb"
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
# The meta package depends on the newest image; ask for that one by name.
image=$(apt-cache depends "$KERNEL_PACKAGE" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
[ -n "$image" ] || { echo "no kernel image behind $KERNEL_PACKAGE" >&2; exit 1; }
apt-get download -o APT::Sandbox::User=root "$image" >&2
dpkg-deb --extract "$image"_*.deb tree
dpkg-deb --show --showformat '${Package}\t${Version}\n' "$image"_*.deb > "$work/kernel.tsv"
release=${image#linux-image-}
cp tree/boot/vmlinuz-* "$work/vmlinuz"
modules=tree/usr/lib/modules
[ -d "$modules" ] || modules=tree/lib/modules
mkdir -p "$root/usr/lib/modules"
cp -a "$modules/$release" "$root/usr/lib/modules/"
cd /
rm -rf "$work/deb"
chroot "$root" depmod "$release"

# modprobe itself says what a module needs, in order; names it prints as built in need no file.
sed 's/#.*//' "$RECIPE/modules.txt" | tr -s ' \t' '\n' | sed '/^$/d' > "$work/wanted"
while read -r name; do
  needs=$(chroot "$root" modprobe --set-version "$release" --ignore-install --show-depends "$name") || {
    echo "the kernel $release has no module $name" >&2
    exit 1
  }
  printf '%s\n' "$needs" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
done < "$work/wanted" | awk '!seen[$0]++' > "$work/files"
while read -r path; do
  file=$(basename "$path")
  case $file in
    *.xz) file=${file%.xz}; xz --decompress --stdout "$root$path" > "$work/modules/$file" ;;
    *.ko) cp "$root$path" "$work/modules/$file" ;;
    *) echo "$path is compressed in a way this recipe does not know" >&2; exit 1 ;;
  esac
  printf '%s\n' "$file" >> "$work/modules/load-order"
done < "$work/files"
rm "$work/wanted" "$work/files"
