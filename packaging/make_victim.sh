#!/bin/sh
# The demonstration's victim: one static file without a C library. Where it cannot be built, everything but
# `eudaemon demo victim` works; so that is said, and is no error.
set -eu
source=native/victim/victim.c place=src/eudaemon/demo/built
say() { echo "make: the demonstration's victim is not built, all else works: $1" >&2; exit 0; }
[ "$(uname -sm)" = "Linux x86_64" ] || say "it is for Linux on x86-64, and this is $(uname -sm)"
command -v "${CC:-cc}" >/dev/null || say "install a C compiler, then: make victim"
mkdir -p "$place"
# The mistake is to stay in: no stack protection, an executable stack, fixed addresses.
"${CC:-cc}" -O1 -Wall -Wextra -static -nostdlib -ffreestanding -fno-builtin -fno-stack-protector -fno-pie -no-pie \
	-fno-omit-frame-pointer -fcf-protection=none -fno-tree-loop-distribute-patterns -z execstack -Wl,--build-id=none \
	-o "$place/victim.new" "$source"
mv "$place/victim.new" "$place/victim"
