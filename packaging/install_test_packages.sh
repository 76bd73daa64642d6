#!/bin/sh
# The real servers and clients that the tests talk to. Without root or apt they are not installed; the tests that need
# them are then skipped, each with a message.
set -eu
list=$(dirname "$0")/debian-test-packages.txt
packages=$(sed 's/#.*//' "$list")
missing=
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "make: not installed, tests that need them are skipped:$missing" >&2
    echo "make: as root: apt-get install$missing" >&2
    exit 0
fi
# Services are for the tests to start, on ports of their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
apt-get -qq update
# shellcheck disable=SC2086  # a list of words is meant
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >/dev/null
