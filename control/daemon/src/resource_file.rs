//! The resource file and the key files it names.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use gateway::{Field, Psk, Resources};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Permission bits of everybody else.
const OTHERS: u32 = 0o007;

/// Reads the file and the keys it names.
///
/// # Errors
/// [`Failure::Configuration`] with everything that is wrong.
pub fn load(path: &Path) -> Result<Resources, Failure> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| Failure::configuration(format!("cannot read the resource file {name}: {error}")))?;
    let lines = |diagnostics: Vec<gateway::Diagnostic>| {
        Failure::Configuration(diagnostics.iter().map(ToString::to_string).collect())
    };
    let mut resources = Resources::parse(&name, &text).map_err(lines)?;
    let files: Vec<_> = resources.psk_files().map(|(tunnel, file)| (tunnel, file.to_owned())).collect();
    let mut wrong = Vec::new();
    for (tunnel, file) in files {
        // A relative path is meant from where the resource file stands.
        let file = path.parent().unwrap_or(Path::new("")).join(file);
        match key_file(&file) {
            Ok(content) => wrong.extend(resources.supply_psk(tunnel, &content).err().map(|diagnostic| *diagnostic)),
            Err(problem) => {
                let allowed = "a file that the gateway can read and others cannot (chmod 600)";
                wrong.push(resources.diagnostic(Field::PskFile(tunnel), &problem, Some(allowed)));
            }
        }
    }
    if wrong.is_empty() { Ok(resources) } else { Err(lines(wrong)) }
}

/// `Err` continues a sentence that begins with the file.
fn key_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let cannot = |error: io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(cannot)?;
    let mode = file.metadata().map_err(cannot)?.mode();
    if mode & OTHERS != 0 {
        return Err(format!("is open to everybody on this host (mode {:03o})", mode & 0o777));
    }
    // As much as a key may have, a line end, and one byte to see that there is more.
    let most = Psk::MAX_BYTES + 3;
    let mut content = Zeroizing::new(Vec::with_capacity(most));
    file.take(most as u64).read_to_end(&mut content).map_err(cannot)?;
    Ok(content)
}

/// What `check` says of a valid file.
pub fn summary(resources: &Resources) -> String {
    let count = |number: usize, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
    [
        count(resources.gateways().len(), "border gateway"),
        count(resources.attachments().len(), "VPC attachment"),
        count(resources.customers().len(), "customer gateway"),
        count(resources.connections().len(), "VPN connection"),
        count(resources.tunnels().len(), "VPN tunnel"),
        count(resources.routes().len(), "static route"),
    ]
    .join(", ")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("bordergate-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const EXAMPLE: &str = include_str!("../../../examples/static.toml");

    #[test]
    fn the_example_is_valid() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/static.toml"));
        let summary = summary(&load(path).unwrap());
        assert!(summary.starts_with("1 border gateway, 1 VPC attachment"), "{summary}");
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        let directory = Directory::new("psk");
        let (file, key) = (directory.0.join("a.toml"), directory.0.join("key"));
        fs::write(&file, EXAMPLE.replace("psk = \"correct_horse_battery\"", "psk_file = \"key\"")).unwrap();
        fs::write(&key, "sesame\n").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let error = load(&file).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let lines = error.lines().join("\n");
        assert!(lines.contains("psk_file") && lines.contains("644") && !lines.contains("sesame"), "{lines}");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let resources = load(&file).unwrap();
        assert_eq!(resources.tunnels()[0].psk.psk().unwrap().secret(), b"sesame");
    }

    #[test]
    fn a_missing_file_is_a_configuration_error() {
        let error = load(Path::new("/nonexistent/a.toml")).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.lines()[0].contains("/nonexistent/a.toml"));
    }
}
