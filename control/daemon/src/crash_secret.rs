//! The secret by which peers learn of a crash (RFC 6290): a file beside the socket, which outlives the process but not the
//! machine's boot, as all of /run.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rand::Rng;
use zeroize::Zeroizing;

use crate::private_file;

/// Where the secret of the gateway with this socket is.
pub fn beside(socket: &Path) -> PathBuf {
    socket.with_extension("crash-secret")
}

/// The secret in a file; a fresh one where there is none that only its owner could have read.
///
/// # Errors
/// It can neither be read nor made.
pub fn load(path: &Path) -> io::Result<Zeroizing<[u8; 32]>> {
    if let Some(secret) = read(path) {
        return Ok(secret);
    }
    let mut secret = Zeroizing::new([0; 32]);
    rand::rng().fill_bytes(secret.as_mut_slice());
    // Under another name first: a crash leaves no half of it, and a link that stands there is not followed.
    let fresh = path.with_extension("crash-secret.new");
    let _ = fs::remove_file(&fresh);
    private_file::create(&fresh)?.write_all(secret.as_slice())?;
    fs::rename(&fresh, path)?;
    Ok(secret)
}

fn read(path: &Path) -> Option<Zeroizing<[u8; 32]>> {
    const O_NOFOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    let mut file = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o077 != 0 || metadata.len() != 32 {
        return None;
    }
    let mut secret = Zeroizing::new([0; 32]);
    file.read_exact(secret.as_mut_slice()).ok()?;
    Some(secret)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn it_stays_the_same_unless_others_could_have_read_it() {
        let path = std::env::temp_dir().join(format!("bordergate-secret-{}.crash-secret", std::process::id()));
        let first = load(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(*load(&path).unwrap(), *first);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let second = load(&path).unwrap();
        assert_ne!(*second, *first);
        fs::write(&path, b"short").unwrap();
        assert_ne!(*load(&path).unwrap(), *second);
        fs::remove_file(&path).unwrap();
        assert_eq!(
            beside(Path::new("/run/bordergate/bordergate.sock")),
            Path::new("/run/bordergate/bordergate.crash-secret")
        );
    }
}
