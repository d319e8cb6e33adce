# shellcheck shell=bash
# Sourced by the entry points: root, and a Rust toolchain, or words that help.

require_root() {
    # su without a dash leaves root without these.
    export PATH=$PATH:/usr/sbin:/sbin
    ((EUID == 0)) && return
    echo "$1: network namespaces, AF_XDP and eBPF take root: sudo $1" >&2
    exit 1
}

require_toolchain() {
    local home
    if ! command -v cargo >/dev/null && [[ -n ${SUDO_USER:-} ]]; then
        # sudo resets PATH; the toolchain is in the home of the user who called it.
        home=$(getent passwd "$SUDO_USER" | cut -d: -f6)
        if [[ -x $home/.cargo/bin/cargo ]]; then
            export RUSTUP_HOME=${RUSTUP_HOME:-$home/.rustup} PATH=$PATH:$home/.cargo/bin
        fi
    fi
    if ! cargo --version >/dev/null 2>&1; then
        echo "$1: no Rust toolchain: install Rust 1.95 or newer from https://rustup.rs," >&2
        echo "$1: or put it on root's path: sudo env PATH=\"\$PATH\" $1" >&2
        exit 1
    fi
}

# What root built in a user's checkout belongs to that user again, so that their own cargo can write there.
return_ownership() {
    local owner
    owner=$(stat --format=%u:%g .)
    if [[ $owner != 0:0 && -d target ]]; then
        chown --recursive "$owner" target
    fi
}
