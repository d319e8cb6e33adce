//! Files for what is secret.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// An empty file at `path`, which only its owner may read from the moment it exists.
pub fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // It may have been there before, with another mode.
    if file.metadata()?.is_file() {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn it_is_its_owners_alone_even_if_it_was_not() {
        let path = std::env::temp_dir().join(format!("bordergate-private-{}", std::process::id()));
        fs::write(&path, "open to all\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        create(&path).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o777, metadata.len()), (0o600, 0));
        // What is no file, such as /dev/null or a pipe with a name, keeps its mode.
        create(Path::new("/dev/null")).unwrap();
        assert_eq!(fs::metadata("/dev/null").unwrap().permissions().mode() & 0o777, 0o666);
    }
}
