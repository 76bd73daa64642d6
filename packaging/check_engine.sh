#!/bin/sh
# The engine's own checks: `check_engine.sh lint`, `check_engine.sh unit`. Where they cannot run, that is said, and is no error.
set -eu
manifest=native/seal/Cargo.toml
say() { echo "make: the possession engine is not checked: $1" >&2; exit 0; }
[ "$(uname -m)" = x86_64 ] || say "it is for x86-64, and this machine is $(uname -m)"
command -v cargo >/dev/null || say "install Rust (https://rustup.rs)"
case $1 in
lint)
	cargo fmt --version >/dev/null 2>&1 || say "install rustfmt (rustup component add rustfmt clippy)"
	cargo fmt --manifest-path "$manifest" --check
	cargo clippy --quiet --release --manifest-path "$manifest" --all-targets -- -D warnings
	cargo clippy --quiet --release --manifest-path "$manifest" --features image --bin seal-image -- -D warnings
	;;
unit)
	# A fault in the engine shows as a process that does not end.
	timeout 600 cargo test --quiet --release --manifest-path "$manifest"
	MODE=shadow timeout 600 cargo test --quiet --release --manifest-path "$manifest" --test lockstep --test changing --test tags
	MODE=taint timeout 600 cargo test --quiet --release --manifest-path "$manifest" --test lockstep
	;;
esac
