//! ESP keys in the form of Wireshark's `esp_sa` table.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;

use zeroize::Zeroizing;

use crate::api::EspKey;
use crate::private_file;

/// One line of the table, for one direction of an SA.
///
/// The fields: protocol, source, destination, SPI, encryption, key, authentication and its key. From Wireshark 4.2 on two
/// more follow, the length of sequence numbers and their upper half; older versions take the line, warn about them and
/// leave them out. They are written only where they differ from the default, 32 bits.
/// The cipher's name has to tell the length of the check value: without, Wireshark takes it for a part of the text.
/// ChaCha20-Poly1305 is named as later versions have it; 4.0 leaves such packets closed.
pub fn line(key: &EspKey) -> Zeroizing<String> {
    let protocol = match key.source {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    };
    let encryption = match key.encryption.as_str() {
        "chacha20poly1305" => "ChaCha20 with Poly1305 [RFC7634]",
        "aes128" | "aes192" | "aes256" => "AES-CBC [RFC3602]",
        _ => "AES-GCM with 16 octet ICV [RFC4106]",
    };
    let integrity = match key.integrity.as_deref() {
        None => "NULL",
        Some("sha1") => "HMAC-SHA-1-96 [RFC2404]",
        Some("sha384") => "HMAC-SHA-384-192 [RFC4868]",
        Some("sha512") => "HMAC-SHA-512-256 [RFC4868]",
        Some(_) => "HMAC-SHA-256-128 [RFC4868]",
    };
    let prefix = if key.integrity_key.is_empty() { "" } else { "0x" };
    let extended = if key.esn { r#","64-bit","0""# } else { "" };
    Zeroizing::new(format!(
        r#""{protocol}","{}","{}","0x{:08x}","{encryption}","0x{}","{integrity}","{prefix}{}"{extended}"#,
        key.source, key.destination, key.spi, key.key, key.integrity_key
    ))
}

/// Writes the table to `path`, which only its owner may read from the moment it exists.
pub fn write(path: &Path, keys: &[EspKey]) -> io::Result<()> {
    let mut file = private_file::create(path)?;
    for key in keys {
        file.write_all(line(key).as_bytes())?;
        file.write_all(b"\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(esn: bool) -> EspKey {
        EspKey {
            source: "203.0.113.1".parse().unwrap(),
            destination: "198.51.100.2".parse().unwrap(),
            spi: 0xc0ff_ee01,
            esn,
            encryption: "aes128gcm16".into(),
            key: "000102030405060708090a0b0c0d0e0fdeadbeef".into(),
            integrity: None,
            integrity_key: String::new(),
        }
    }

    #[test]
    fn lines_have_wiresharks_form() {
        assert_eq!(
            *line(&key(false)),
            r#""IPv4","203.0.113.1","198.51.100.2","0xc0ffee01","AES-GCM with 16 octet ICV [RFC4106]","0x000102030405060708090a0b0c0d0e0fdeadbeef","NULL","""#
        );
        assert!(line(&key(true)).ends_with(r#","NULL","","64-bit","0""#));
        let mut cbc = key(false);
        cbc.encryption = "aes128".into();
        cbc.key = "000102030405060708090a0b0c0d0e0f".into();
        cbc.integrity = Some("sha1".into());
        cbc.integrity_key = "0f0f".into();
        assert_eq!(
            *line(&cbc),
            r#""IPv4","203.0.113.1","198.51.100.2","0xc0ffee01","AES-CBC [RFC3602]","0x000102030405060708090a0b0c0d0e0f","HMAC-SHA-1-96 [RFC2404]","0x0f0f""#
        );
    }
}
