//! Gives the library the name under which programs that are linked with it ask for it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libonewait.so");
}
