//! The image's linker arguments: everything inside, nothing asked of a loader.
fn main() {
    for argument in ["-nostartfiles", "-nostdlib", "-static-pie", "-Wl,--no-dynamic-linker", "-Wl,-z,norelro", "-Wl,-z,noseparate-code", "-Wl,--build-id=none", "-Wl,-e,seal_wake", "-Wl,--no-undefined"] {
        println!("cargo:rustc-link-arg-bin=seal-image={argument}");
    }
}
