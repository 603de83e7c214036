#!/usr/bin/env bash
# Runs a command in the userland of a board: a Debian of any architecture, made once and kept.
#
#     SUITE=bookworm ARCH=arm64 tests/boards/root.sh [--read PATH]... [--write PATH]... COMMAND...
#
# Debian's packages are unpacked, not configured: no maintainer script runs, and so nothing runs
# under emulation. What the command sees of this machine are the paths named here, each at its own
# place, and what is needed to reach a package registry. The root lies in EDGETL_ROOTS, by default
# in the user's cache; it is made again when this file changes. Needs root, for chroot and mount.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
suite=${SUITE:-bookworm}
arch=${ARCH:-arm64}
packages=python3,python3-venv,libstdc++6,mount
roots=${EDGETL_ROOTS:-${XDG_CACHE_HOME:-$HOME/.cache}/edgetl/roots}
root=$roots/$suite-$arch
recipe=$(sha256sum "$0" | cut -d' ' -f1)

die() {
    echo "root.sh: $*" >&2
    exit 1
}

need() {  # COMMAND PACKAGE: installs what is missing
    command -v "$1" >/dev/null || missing+=("$2")
}

install_tools() {
    local cpu missing=()
    need mmdebstrap mmdebstrap
    cpu=$("$here/enter.sh" --cpu "$arch")
    if [ "$arch" != "$(dpkg --print-architecture)" ]; then
        need "qemu-$cpu-static" qemu-user-static
        need update-binfmts binfmt-support
    fi
    [ ${#missing[@]} = 0 ] && return
    echo "installing ${missing[*]}" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null ||
        die "cannot install ${missing[*]}"
}

mirror() {
    local found
    found=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' |
        sort -u | head -n 1)
    echo "${found:-http://deb.debian.org/debian}"
}

make_root() {
    echo "making $root" >&2
    rm -rf --one-file-system "$root" "$root.unfinished"
    mmdebstrap --quiet --mode=root --variant=extract --skip=check/qemu --architectures="$arch" \
        --include='?essential' --include="$packages" --setup-hook='cd "$1" && mkdir -p usr/bin usr/sbin usr/lib usr/lib64' \
        --setup-hook='cd "$1" && ln -s usr/bin usr/sbin usr/lib usr/lib64 .' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        "$suite" "$root.unfinished" "$(mirror)"
    # What the scripts of base-passwd and base-files would do.
    cp "$root.unfinished/usr/share/base-passwd/passwd.master" "$root.unfinished/etc/passwd"
    cp "$root.unfinished/usr/share/base-passwd/group.master" "$root.unfinished/etc/group"
    echo "hosts: files dns" >"$root.unfinished/etc/nsswitch.conf"
    echo "$recipe" >"$root.unfinished/recipe"
    mv "$root.unfinished" "$root"
}

[ "$(id -u)" = 0 ] || die "run it as root: it needs chroot and mount"
command -v apt-get >/dev/null || die "it needs Debian's tools: mmdebstrap, qemu-user-static, binfmt-support"
install_tools
mkdir -p "$roots"
exec 9>"$root.lock"
flock 9  # one user of a root at a time
if [ "$(cat "$root/recipe" 2>/dev/null)" != "$recipe" ]; then
    make_root
fi
# In namespaces of its own: mounts and processes end with the command, whatever ends it. unshare
# itself ignores these signals.
unshare --mount --pid --fork --kill-child "$here/enter.sh" "$root" "$arch" "$@" <&0 &
namespace=$!
trap 'kill -KILL $namespace; exit 130' INT
trap 'kill -KILL $namespace; exit 143' TERM
wait "$namespace"
