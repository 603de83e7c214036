#!/usr/bin/env bash
# Runs a command that finds the files and tools of another machine: those of tests/machines.py.
#
#     tests/boards/machine.sh pi5 .venv/bin/edgetl-run bench tests/data/tiny.bundle
#
# All of /sys is that machine's, and of /proc what the device asks for; python is that of the PATH,
# or of PYTHON. Needs root, and root may read what others may not. Runs within a root of root.sh, too;
# engines believe the machine's processor, so start that one with BOARD=pi5 for pi5.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ "${1:-}" != --inside ]; then
    exec unshare --mount --propagation unchanged "$0" --inside "$@"
fi
machine=$2
shift 2
# Within a root of root.sh, "/" is no mount, and all below it is private already.
if grep -q '^[0-9]* [0-9]* [^ ]* [^ ]* / ' /proc/self/mountinfo; then
    mount --make-rprivate /
fi
made=$(mktemp -d)
trap 'umount -l /sys; rm -rf "$made"' EXIT
"${PYTHON:-python}" "$here/../machines.py" "$machine" "$made"
for file in cpuinfo meminfo; do
    mount --bind "$made/root/proc/$file" "/proc/$file"
done
mkdir -p "$made/root/sys"
mount --bind "$made/root/sys" /sys
PATH=$made/bin:$PATH "$@"
