#!/usr/bin/env bash
# Runs a command that finds the files and tools of another machine: those of tests/machines.py.
#
#     tests/boards/machine.sh pi5 .venv/bin/edgetl-run bench tests/data/tiny.bundle
#
# All of /sys is that machine's, and of /proc what the device asks for; python is that of the PATH,
# or of PYTHON. Runs within a root of root.sh, too. Needs root, and root may read what others may not.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ "${1:-}" != --inside ]; then
    exec unshare --mount "$0" --inside "$@"
fi
machine=$2
shift 2
mount --make-rprivate /
made=$(mktemp -d)
trap 'umount -l /sys; rm -rf "$made"' EXIT
"${PYTHON:-python}" "$here/../machines.py" "$machine" "$made"
for file in cpuinfo meminfo; do
    mount --bind "$made/root/proc/$file" "/proc/$file"
done
mkdir -p "$made/root/sys"
mount --bind "$made/root/sys" /sys
PATH=$made/bin:$PATH "$@"
