//! A file beside the socket while the gateway runs: one that is there at the start was left by a gateway that did not say
//! that it ended, whose routes peers may still keep (RFC 4724). As all of /run it does not outlive the machine's boot.

use std::fs;
use std::path::{Path, PathBuf};

use crate::private_file;

fn beside(socket: &Path) -> PathBuf {
    socket.with_extension("running")
}

/// Whether a gateway with this socket ended without a word.
pub fn was_left(socket: &Path) -> bool {
    beside(socket).exists()
}

/// The gateway runs from now on.
pub fn set(socket: &Path) {
    let path = beside(socket);
    let _ = fs::remove_file(&path);
    if let Err(error) = private_file::create(&path) {
        tracing::warn!(file = %path.display(), %error, "after a crash peers will not be told that their routes are waited for");
    }
}

/// It has said that it ends.
pub fn clear(socket: &Path) {
    let _ = fs::remove_file(beside(socket));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_stays_unless_it_is_cleared() {
        let socket = std::env::temp_dir().join(format!("bordergate-mark-{}.sock", std::process::id()));
        assert!(!was_left(&socket));
        set(&socket);
        assert!(was_left(&socket));
        set(&socket);
        clear(&socket);
        assert!(!was_left(&socket));
    }
}
