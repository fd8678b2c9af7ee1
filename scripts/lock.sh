#!/bin/sh
# Writes requirements.lock: what `pip install .[dev]` brings into an empty environment today, with
# exact versions, and no registry or path in it.   Usage: PYTHON=python3.11 scripts/lock.sh
# Use the oldest supported Python (3.11), so that every version in it exists for the newer ones too.
set -eu
cd "$(dirname "$0")/.."
environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT
"${PYTHON:-python3.11}" -m venv "$environment"
export PIP_DISABLE_PIP_VERSION_CHECK=1
"$environment/bin/pip" install --quiet --editable '.[dev]'
"$environment/bin/pip" freeze --exclude-editable >"$environment/frozen"
if grep -nE '^torch==|@ |://' "$environment/frozen"; then
    echo "lock.sh: the lines above must not be in a lock file (a path, an address, or PyTorch)" >&2
    exit 1
fi
{
    echo "# Exact versions of everything that \`make setup\` installs (Python 3.11 or newer)."
    echo "# Made by \`make lock\` from pyproject.toml in an empty environment; do not edit by hand."
    cat "$environment/frozen"
} >"$environment/lock"
cp "$environment/lock" requirements.lock
echo "requirements.lock: $(grep -c == requirements.lock) packages"
