#!/usr/bin/env bash
# Enters a root that root.sh made; in a mount and a process namespace of its own only.
set -euo pipefail

cpu_of() {  # Debian's name of an architecture to qemu's
    case $1 in
        arm64) echo aarch64 ;;
        armhf) echo arm ;;
        amd64) echo x86_64 ;;
        *) echo "unknown architecture $1; known: arm64, armhf, amd64" >&2; return 2 ;;
    esac
}

show() {  # read|write PATH: shows what this machine has there, at the same place in the root
    [ -e "$2" ] || return 0
    if [ -d "$2" ]; then
        mkdir -p "$root$2"
    else
        mkdir -p "$(dirname "$root$2")" && { [ -e "$root$2" ] || touch "$root$2"; }
    fi
    mount --bind "$2" "$root$2"
    [ "$1" = write ] || mount -o remount,bind,ro "$root$2"
}

emulate() {  # lets the kernel run the root's programs through qemu
    local cpu=$1
    mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
    [ -e "/proc/sys/fs/binfmt_misc/qemu-$cpu" ] && return
    update-binfmts --import "qemu-$cpu"
    [ -e "/proc/sys/fs/binfmt_misc/qemu-$cpu" ] || update-binfmts --enable "qemu-$cpu"
}

pretend() {  # the board's processor: engines choose their kernels by what they find here
    local number part features last=$(($(nproc) - 1))
    case $arch-${BOARD:-pi4} in
        *-none) return ;;
        arm64-pi4)
            export QEMU_CPU=cortex-a72
            part=0xd08 features="fp asimd evtstrm crc32 cpuid" ;;
        arm64-pi5)
            export QEMU_CPU=cortex-a76
            part=0xd0b features="fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp"
            features+=" cpuid asimdrdm lrcpc dcpop asimddp" ;;
        armhf-pi4)
            part=0xd08 features="half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt"
            features+=" vfpd32 lpae evtstrm crc32" ;;
        *) echo "no BOARD $BOARD for $arch; known: pi4, pi5 (arm64), none" >&2; return 2 ;;
    esac
    for number in $(seq 0 "$last"); do
        printf '%s\t: %s\n' processor "$number" Features "$features" "CPU implementer" 0x41 \
            "CPU architecture" 8 "CPU variant" 0x0 "CPU part" "$part" "CPU revision" 3
        echo
    done >"$root/run/cpuinfo"
    mount --bind "$root/run/cpuinfo" "$root/proc/cpuinfo"
    mkdir -p "$root/sys/devices/system/cpu"
    echo "0-$last" | tee "$root/sys/devices/system/cpu/"{possible,present} >/dev/null
}

if [ "$1" = --cpu ]; then
    cpu_of "$2"
    exit
fi
[ $$ = 1 ] || { echo "enter.sh: run root.sh" >&2; exit 2; }
root=$1 arch=$2
shift 2
mount --make-rprivate /
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/run"
# The way to a package registry.
for path in /etc/resolv.conf /etc/hosts /etc/ssl/certs /etc/pip.conf /etc/xdg/pip; do
    show read "$path"
done
while [[ ${1:-} == --read || ${1:-} == --write ]]; do
    [ -e "$2" ] || { echo "enter.sh: no such path: $2" >&2; exit 2; }
    show "${1#--}" "$(realpath "$2")"
    shift 2
done
if [ "$arch" = "$(dpkg --print-architecture)" ]; then
    mount --rbind /sys "$root/sys"
else
    mount -t tmpfs tmpfs "$root/sys"
    emulate "$(cpu_of "$arch")"
    pretend
fi
env -u PYTHONPATH -u PYTHONHOME -u VIRTUAL_ENV -u TMPDIR HOME=/root \
    PATH=/opt/edgetl/bin:/usr/bin:/bin:/usr/sbin:/sbin \
    chroot "$root" "$@"
