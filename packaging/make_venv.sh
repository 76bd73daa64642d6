#!/bin/sh
# A virtual environment, also where Debian's python3 comes without ensurepip.
set -eu
python=$1 venv=$2
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y python3-venv >/dev/null
    else
        echo "make: $python has no venv module; install it first: apt-get install python3-venv" >&2
        exit 1
    fi
fi
"$python" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'  # the first that knows --group
