//! The resource file and the key files it names.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use gateway::{CertificateContent, CertificateFile, CertificateFiles, Diagnostic, Field, Psk, Resources};
use zeroize::Zeroizing;

use crate::authentication;
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
    // A relative path is meant from where the resource file stands.
    let beside = path.parent().unwrap_or(Path::new(""));
    let files: Vec<_> = resources.psk_files().map(|(field, file)| (field, beside.join(file))).collect();
    let mut wrong = Vec::new();
    for (field, file) in files {
        match private(&file, Psk::MAX_WRITTEN + 2) {
            Ok(content) => wrong.extend(resources.supply_psk(field, &content).err().map(|diagnostic| *diagnostic)),
            Err(problem) => wrong.push(resources.diagnostic(field, &problem, Some(PRIVATE))),
        }
    }
    supply_certificates(&mut resources, beside, &mut wrong);
    if wrong.is_empty() { Ok(resources) } else { Err(lines(wrong)) }
}

/// Reads the files of tunnels that authenticate by certificates. Tunnels with the same files share what they hold.
fn supply_certificates(resources: &mut Resources, beside: &Path, wrong: &mut Vec<Diagnostic>) {
    let tunnels: Vec<_> = resources.certificate_files().map(|(tunnel, files)| (tunnel, files.clone())).collect();
    let mut known: Vec<(CertificateFiles, Arc<CertificateContent>)> = Vec::new();
    for (tunnel, files) in tunnels {
        let problem = |(file, problem): authentication::Wrong, allowed| {
            resources.diagnostic(Field::CertificateFile(tunnel, file), &problem, allowed)
        };
        let content = match known.iter().find(|(others, _)| *others == files) {
            Some((_, content)) => Arc::clone(content),
            None => match read_certificates(&files, beside) {
                Ok(content) => Arc::new(content),
                Err((file, text)) => {
                    let allowed = if file == CertificateFile::PrivateKey { PRIVATE } else { READABLE };
                    wrong.push(problem((file, text), Some(allowed)));
                    continue;
                }
            },
        };
        match authentication::check(&files, &content, &resources.tunnel(tunnel).local_id) {
            Ok(()) => {
                known.push((files, Arc::clone(&content)));
                resources.supply_certificates(tunnel, content);
            }
            Err(error) => wrong.push(problem(error, None)),
        }
    }
}

fn read_certificates(files: &CertificateFiles, beside: &Path) -> Result<CertificateContent, authentication::Wrong> {
    let mut content = CertificateContent {
        certificate: Vec::new(),
        private_key: Zeroizing::default(),
        authorities: Vec::new(),
        revocation_lists: Vec::new(),
    };
    for (file, path) in files.paths() {
        let path = beside.join(path);
        let wrong = |problem| (file, problem);
        match file {
            CertificateFile::Certificate => content.certificate = public(&path, LONGEST_CHAIN).map_err(wrong)?,
            CertificateFile::PrivateKey => content.private_key = private(&path, LONGEST_KEY).map_err(wrong)?,
            CertificateFile::Authority(_) => content.authorities.push(public(&path, LONGEST_LIST).map_err(wrong)?),
            CertificateFile::RevocationList(_) => {
                content.revocation_lists.push(public(&path, LONGEST_LIST).map_err(wrong)?);
            }
        }
    }
    Ok(content)
}

/// A file that must not be open to everybody. `Err` continues a sentence that begins with the file.
fn private(path: &Path, most: usize) -> Result<Zeroizing<Vec<u8>>, String> {
    let cannot = |error: io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(cannot)?;
    let mode = file.metadata().map_err(cannot)?.mode();
    if mode & OTHERS != 0 {
        return Err(format!("is open to everybody on this host (mode {:03o})", mode & 0o777));
    }
    // One byte more, to see that there is more. All room is taken at once: no copy is left behind by growing.
    let mut content = Zeroizing::new(Vec::with_capacity(most + 1));
    file.take(most as u64 + 1).read_to_end(&mut content).map_err(cannot)?;
    if content.len() > most { Err(format!("is longer than {most} bytes")) } else { Ok(content) }
}

/// A file that anybody may see. `Err` continues a sentence that begins with the file.
fn public(path: &Path, most: usize) -> Result<Vec<u8>, String> {
    let cannot = |error: io::Error| format!("cannot be read: {error}");
    let mut content = Vec::new();
    let file = File::open(path).map_err(cannot)?;
    file.take(most as u64 + 1).read_to_end(&mut content).map_err(cannot)?;
    if content.len() > most { Err(format!("is longer than {most} bytes")) } else { Ok(content) }
}

const PRIVATE: &str = "a file that the gateway can read and others cannot (chmod 600)";
const READABLE: &str = "a file that the gateway can read";
const LONGEST_CHAIN: usize = 128 << 10;
const LONGEST_KEY: usize = 32 << 10;
const LONGEST_LIST: usize = 16 << 20;

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
        assert_eq!(resources.tunnels()[0].authentication.psk().unwrap().secret(), b"sesame");
    }

    #[test]
    fn a_missing_file_is_a_configuration_error() {
        let error = load(Path::new("/nonexistent/a.toml")).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.lines()[0].contains("/nonexistent/a.toml"));
    }
}
