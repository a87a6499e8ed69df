#!/bin/sh
# Fetches the guest kernel, installs its modules in the root and leaves kernel and modules in OUT.
# The package is unpacked, not installed: its scripts would build an initramfs and a boot loader entry nobody uses, and
# `apt-get upgrade` in a sandbox must not replace a kernel that is given by the host. Run by mmdebstrap, root's path as $1.
# Reads: OUT (folder inside the root for what the host needs), KERNEL_PACKAGE.
set -eu
root=$1
work=$root$OUT
mkdir -p "$work/deb"
cd "$work/deb"
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
# The meta package depends on the newest image; ask for that one by name.
image=$(apt-cache depends "$KERNEL_PACKAGE" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
[ -n "$image" ] || { echo "no kernel image behind $KERNEL_PACKAGE" >&2; exit 1; }
apt-get download -o APT::Sandbox::User=root "$image" >&2
dpkg-deb --extract "$image"_*.deb tree
dpkg-deb --show --showformat '${Version}\n' "$image"_*.deb > "$work/kernel-version"
release=${image#linux-image-}
printf '%s\n' "$release" > "$work/kernel-release"
cp tree/boot/vmlinuz-* "$work/vmlinuz"
cp tree/boot/config-* "$work/kernel-config"
modules=tree/usr/lib/modules
[ -d "$modules" ] || modules=tree/lib/modules
mkdir -p "$root/usr/lib/modules"
cp -a "$modules/$release" "$root/usr/lib/modules/"
chroot "$root" depmod "$release"
cd /
rm -rf "$work/deb"
