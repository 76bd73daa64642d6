#!/bin/sh
# The possession engine: built by cargo, and put where the package looks for it. Where it cannot be built, everything
# but possession works; so that is said, and is no error.
set -eu
crate=native/seal place=src/eudaemon/possession/seal
say() { echo "make: the possession engine is not built, all else works: $1" >&2; exit 0; }
[ "$(uname -m)" = x86_64 ] || say "it is for x86-64, and this machine is $(uname -m)"
command -v cargo >/dev/null || say "install Rust (https://rustup.rs), then: make engine"
[ -e "$crate/src/lib.rs" ] || say "its source is not in this checkout"
target=${CARGO_TARGET_DIR:-$crate/target}
echo "Building the possession engine …"
cargo build --quiet --release --manifest-path "$crate/Cargo.toml" --features image --bin seal-image
mkdir -p "$place"
cargo run --quiet --manifest-path "$crate/Cargo.toml" --example abi >"$place/seal.abi.json.new"
# Renamed, not written over: a controller may be reading.
cp "$target/release/seal-image" "$place/seal.image.new"
mv "$place/seal.image.new" "$place/seal.image"
mv "$place/seal.abi.json.new" "$place/seal.abi.json"
