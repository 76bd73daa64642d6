//! The image's linker arguments: everything inside, nothing asked of a loader. The tests run the engine inside themselves: like the
//! image, they have to lie below 2 GiB.
fn main() {
    for argument in [
        "-nostartfiles",
        "-nostdlib",
        "-static-pie",
        "-Wl,--no-dynamic-linker",
        "-Wl,-z,norelro",
        "-Wl,-z,noseparate-code",
        "-Wl,--build-id=none",
        "-Wl,-e,seal_wake",
        "-Wl,--no-undefined",
    ] {
        println!("cargo:rustc-link-arg-bin=seal-image={argument}");
    }
    println!("cargo:rustc-link-arg-tests=-no-pie");
}
