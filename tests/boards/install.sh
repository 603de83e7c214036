#!/usr/bin/env bash
# Installs the device's wheel, made from this checkout, in a root of root.sh: in /opt/edgetl there.
#
#     SUITE=bookworm ARCH=arm64 tests/boards/install.sh
#
# What the wheel depends on stays until the recipe changes: this file, constraints.txt or the
# device's pyproject.toml. Under emulation that costs minutes, the wheel alone seconds.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
checkout=$(realpath "$here/../..")
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
"$checkout/.venv/bin/python" -m build --no-isolation --wheel "$checkout/runtime" \
    --outdir "$wheels" >"$wheels/log" 2>&1 || { cat "$wheels/log" >&2; exit 1; }
recipe=$(cat "$0" "$checkout/constraints.txt" "$checkout/runtime/pyproject.toml" | sha256sum)
"$here/root.sh" --read "$wheels" --read "$checkout" \
    bash -euo pipefail -s "$recipe" "$wheels"/*.whl "$checkout/constraints.txt" <<'EOF'
recipe=$1 wheel=$2 constraints=$3
installed=/opt/edgetl/installed
# The pip that Debian puts into a venv; python -m venv would unpack it, under emulation for a minute.
pip() { /opt/edgetl/bin/python "$(echo /usr/share/python-wheels/pip-*.whl)/pip" --no-cache-dir "$@"; }
sum=$(sha256sum <"$wheel")
if [ "$(head -n 1 "$installed" 2>/dev/null)" != "$recipe" ]; then
    rm -rf /opt/edgetl
    python3 -m venv --without-pip /opt/edgetl
    pip install -qq --no-compile -c "$constraints" "$wheel[all]" pytest hypothesis
elif [ "$(tail -n 1 "$installed")" != "$sum" ]; then
    pip install -qq --no-compile --no-deps --force-reinstall "$wheel"
fi
printf '%s\n' "$recipe" "$sum" >"$installed"
EOF
