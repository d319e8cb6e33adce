//! Compiles `src/steer.bpf.c` with clang into the object that the loader embeds.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

fn main() {
    for source in ["src/steer.bpf.c", "src/steer.h"] {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rerun-if-env-changed=CLANG");

    let object = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("steer.bpf.o");
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".into());
    let mut command = Command::new(&clang);
    command
        .args(["-O2", "-g", "-target", "bpfel", "-std=gnu11", "-Wall", "-Wextra", "-Werror"])
        .args(["-Wno-unused-function", "-c", "src/steer.bpf.c", "-o"])
        .arg(&object);
    // Debian keeps asm/types.h under the architecture's own directory, where -target bpf does not look.
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");
    let headers = format!("/usr/include/{arch}-linux-gnu");
    if Path::new(&headers).is_dir() {
        command.arg("-idirafter").arg(headers);
    }

    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => fail(&format!(
            "{clang} could not compile ebpf/src/steer.bpf.c ({status}); it needs clang 11 or later with the \
             bpf target, and the kernel's headers (Debian, Ubuntu: apt install clang linux-libc-dev)"
        )),
        Err(error) => fail(&format!(
            "{clang} could not be run ({error}); ebpf/src/steer.bpf.c is compiled with clang \
             (Debian, Ubuntu: apt install clang; another clang: set CLANG)"
        )),
    }
}

fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    exit(1)
}
