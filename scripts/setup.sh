#!/bin/sh
# Sets up .venv: a Python of 3.11 or newer, the exact packages of requirements.lock, and Bitwright
# itself as an editable install. Called by the Makefile; after it has run once, no network is needed.
# To choose the Python: make setup PYTHON=/path/to/python3.12
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "setup: $1"
    shift
    for line in "$@"; do say "       $line"; done
    exit 1
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        new_enough "$PYTHON" || fail \
            "PYTHON=$PYTHON is $("$PYTHON" --version 2>&1 || true); Bitwright needs Python 3.11 or newer"
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python; do
        if new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or newer was found; python3 is $(python3 --version 2>&1 || echo missing)" \
        "Debian, Ubuntu: apt install python3 python3-venv" \
        "Fedora:         dnf install python3" \
        "or name one:    make setup PYTHON=/path/to/python3.12"
}

have() { command -v "$1" >/dev/null 2>&1; }

check_tools() {
    missing=""
    have c++ || have g++ || have clang++ || missing="$missing
       a C++ compiler   Debian, Ubuntu: apt install g++    Fedora: dnf install gcc-c++"
    have make || missing="$missing
       make             Debian, Ubuntu: apt install make   Fedora: dnf install make"
    have perl || missing="$missing
       perl             Debian, Ubuntu: apt install perl   Fedora: dnf install perl"
    [ -z "$missing" ] || fail "Verilator needs tools that this machine does not have:$missing"
}

check_tools
python=$(find_python)

if ! [ -x .venv/bin/python ] || ! new_enough .venv/bin/python; then
    rm -rf .venv
    say "setup: making .venv with $("$python" --version)"
    "$python" -m venv .venv || {
        rm -rf .venv
        fail "$python could not make a virtual environment" \
            "Debian, Ubuntu: apt install python3-venv"
    }
fi

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_REQUIRE_VIRTUALENV=1
say "setup: installing $(grep -c '==' requirements.lock) packages from requirements.lock"
# Without dependency resolution, what is installed is the lock file and nothing else.
.venv/bin/python -m pip install --quiet --no-deps -r requirements.lock
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
.venv/bin/python -m pip check >/dev/null || fail "the installed packages do not fit together" \
    "$(.venv/bin/python -m pip check 2>&1 || true)"
touch .venv/setup.stamp
say "setup: done; the command is .venv/bin/bitwright"
