//! A tunnel's configuration, from the resource model's terms to IKE's.

use std::net::IpAddr;

use gateway::{AdminState, EspEncryption, Identity, IkeEncryption, Integrity, KeyExchange, Prefix, Prf, Startup};
use gateway::{Resources, UdpEncapsulation, VpnTunnel};
use ike::{Admin, EspCipher, EspProposal, IkeCipher, IkeProposal, KeGroup, PrfAlgorithm, Retry, TrafficSelector};

use crate::authentication;

/// The tunnel as IKE takes it; `None` while its key file was not read.
pub fn configuration(tunnel: &VpnTunnel) -> Option<ike::TunnelConfig> {
    Some(ike::TunnelConfig {
        local: tunnel.local_address,
        remote: tunnel.remote_address,
        local_id: identity(&tunnel.local_id),
        remote_id: identity(&tunnel.remote_id),
        authentication: authentication::of(tunnel)?,
        ppk: match &tunnel.ppk {
            Some(ppk) => Some(authentication::ppk(ppk)?),
            None => None,
        },
        admin: admin(tunnel.admin),
        startup: match tunnel.startup {
            Startup::Initiate => ike::Startup::Initiate,
            Startup::Respond => ike::Startup::Respond,
        },
        ike: IkeProposal {
            key_exchange: tunnel.ike.key_exchange.iter().copied().map(group).collect(),
            additional_key_exchange: rounds(&tunnel.ike.additional_key_exchange),
            encryption: tunnel.ike.encryption.iter().copied().map(ike_cipher).collect(),
            integrity: tunnel.ike.integrity.iter().copied().map(integrity).collect(),
            prf: tunnel.ike.prf.iter().copied().map(prf).collect(),
        },
        esp: EspProposal {
            encryption: tunnel.esp.encryption.iter().copied().map(esp_cipher).collect(),
            integrity: tunnel.esp.integrity.iter().copied().map(integrity).collect(),
            key_exchange: tunnel.esp.key_exchange.iter().copied().map(group).collect(),
            additional_key_exchange: rounds(&tunnel.esp.additional_key_exchange),
            esn: tunnel.esp.esn,
        },
        local_selectors: offered(&tunnel.local_prefixes),
        remote_selectors: offered(&tunnel.remote_prefixes),
        resources: tunnel.esp.child_sas.count(),
        force_encapsulation: match tunnel.udp_encapsulation {
            UdpEncapsulation::Auto => false,
            UdpEncapsulation::Always => true,
        },
        mobike: tunnel.mobike,
        redirects: Vec::new(),
        liveness: tunnel.ike.liveness.interval(),
        ike_lifetime: tunnel.ike.lifetime.duration(),
        child_lifetime: tunnel.esp.lifetime.duration(),
        retry: Retry::default(),
    })
}

/// Where a peer may send us: the customer gateway's other addresses, unless another tunnel leads there (RFC 5685).
pub fn redirects(resources: &Resources, tunnel: &VpnTunnel) -> Vec<IpAddr> {
    let customer = resources.customer(resources.connection(tunnel.connection).customer);
    let led_to = |address: &IpAddr| {
        let mut tunnels = resources.tunnels().iter();
        tunnels.any(|other| other.remote_address == *address && other.local_address == tunnel.local_address)
    };
    let fits = |address: &IpAddr| address.is_ipv4() == tunnel.local_address.is_ipv4();
    customer.addresses.iter().copied().filter(|address| fits(address) && !led_to(address)).collect()
}

fn admin(state: AdminState) -> Admin {
    match state {
        AdminState::Up => Admin::Up,
        AdminState::Down => Admin::Down,
    }
}

/// The suite as the data plane takes it; `None` is impossible: IKE chooses an integrity algorithm with each cipher that
/// needs one, and with no other.
pub fn suite(cipher: EspCipher, integrity: Option<ike::Integrity>) -> Option<aead::Suite> {
    use aead::AesKey::{Aes128, Aes192, Aes256};
    let cbc = |key| {
        Some(aead::Suite::AesCbc(
            key,
            match integrity? {
                ike::Integrity::HmacSha1 => aead::Integrity::HmacSha1,
                ike::Integrity::HmacSha256 => aead::Integrity::HmacSha256,
                ike::Integrity::HmacSha384 => aead::Integrity::HmacSha384,
                ike::Integrity::HmacSha512 => aead::Integrity::HmacSha512,
            },
        ))
    };
    match cipher {
        EspCipher::Aes128Cbc => cbc(Aes128),
        EspCipher::Aes192Cbc => cbc(Aes192),
        EspCipher::Aes256Cbc => cbc(Aes256),
        EspCipher::Aes128Gcm16 => Some(aead::Suite::Aes128Gcm16),
        EspCipher::Aes192Gcm16 => Some(aead::Suite::Aes192Gcm16),
        EspCipher::Aes256Gcm16 => Some(aead::Suite::Aes256Gcm16),
        EspCipher::ChaCha20Poly1305 => Some(aead::Suite::ChaCha20Poly1305),
    }
}

/// What a child was negotiated for, as the data plane checks it.
pub fn selectors(sa: &ike::ChildSa) -> tables::Selectors {
    let side = |selectors: &[TrafficSelector]| selectors.iter().filter_map(selector).collect::<Vec<_>>();
    tables::Selectors::new(side(&sa.local_selectors), side(&sa.remote_selectors))
}

/// `None` is impossible: a selector's addresses are of one family.
fn selector(selector: &TrafficSelector) -> Option<tables::TrafficSelector> {
    let (first, last) = selector.ports();
    // RFC 7296 §3.13.1: zero is any.
    let protocol = (selector.protocol() != 0).then(|| wire::Protocol(selector.protocol()));
    tables::TrafficSelector::new(selector.start(), selector.end(), protocol, first..=last)
}

/// The identity as IKE takes it.
pub fn identity(identity: &Identity) -> ike::Identity {
    match identity {
        Identity::Ipv4(address) => ike::Identity::Address(IpAddr::V4(*address)),
        Identity::Ipv6(address) => ike::Identity::Address(IpAddr::V6(*address)),
        Identity::Fqdn(name) => ike::Identity::Name(name.clone()),
        Identity::UserFqdn(mail) => ike::Identity::Mail(mail.clone()),
        Identity::DistinguishedName(name) => ike::Identity::DistinguishedName(
            ike::DistinguishedName::from_attributes(name.attributes())
                .expect("the resource model takes only types and values that IKE takes"),
        ),
        Identity::KeyId(bytes) => ike::Identity::KeyId(bytes.clone()),
    }
}

fn offered(prefixes: &[Prefix]) -> Vec<TrafficSelector> {
    // A prefix is never longer than its address, so none is left out.
    prefixes.iter().filter_map(|prefix| TrafficSelector::prefix(prefix.address(), prefix.length()).ok()).collect()
}

fn rounds(methods: &[Vec<KeyExchange>]) -> Vec<Vec<KeGroup>> {
    methods.iter().map(|round| round.iter().copied().map(group).collect()).collect()
}

fn group(method: KeyExchange) -> KeGroup {
    match method {
        KeyExchange::X25519 => KeGroup::X25519,
        KeyExchange::X448 => KeGroup::X448,
        KeyExchange::Ecp256 => KeGroup::Ecp256,
        KeyExchange::Ecp384 => KeGroup::Ecp384,
        KeyExchange::Ecp521 => KeGroup::Ecp521,
        KeyExchange::Modp1024 => KeGroup::Modp1024,
        KeyExchange::Modp1536 => KeGroup::Modp1536,
        KeyExchange::Modp2048 => KeGroup::Modp2048,
        KeyExchange::Modp3072 => KeGroup::Modp3072,
        KeyExchange::Modp4096 => KeGroup::Modp4096,
        KeyExchange::Modp6144 => KeGroup::Modp6144,
        KeyExchange::Modp8192 => KeGroup::Modp8192,
        KeyExchange::MlKem512 => KeGroup::MlKem512,
        KeyExchange::MlKem768 => KeGroup::MlKem768,
        KeyExchange::MlKem1024 => KeGroup::MlKem1024,
    }
}

fn ike_cipher(cipher: IkeEncryption) -> IkeCipher {
    match cipher {
        IkeEncryption::Aes128Gcm16 => IkeCipher::Aes128Gcm16,
        IkeEncryption::Aes192Gcm16 => IkeCipher::Aes192Gcm16,
        IkeEncryption::Aes256Gcm16 => IkeCipher::Aes256Gcm16,
        IkeEncryption::ChaCha20Poly1305 => IkeCipher::ChaCha20Poly1305,
        IkeEncryption::Aes128Cbc => IkeCipher::Aes128Cbc,
        IkeEncryption::Aes192Cbc => IkeCipher::Aes192Cbc,
        IkeEncryption::Aes256Cbc => IkeCipher::Aes256Cbc,
        IkeEncryption::TripleDes => IkeCipher::TripleDes,
    }
}

fn integrity(integrity: Integrity) -> ike::Integrity {
    match integrity {
        Integrity::Sha1 => ike::Integrity::HmacSha1,
        Integrity::Sha256 => ike::Integrity::HmacSha256,
        Integrity::Sha384 => ike::Integrity::HmacSha384,
        Integrity::Sha512 => ike::Integrity::HmacSha512,
    }
}

fn prf(prf: Prf) -> PrfAlgorithm {
    match prf {
        Prf::Sha1 => PrfAlgorithm::HmacSha1,
        Prf::Sha256 => PrfAlgorithm::HmacSha256,
        Prf::Sha384 => PrfAlgorithm::HmacSha384,
        Prf::Sha512 => PrfAlgorithm::HmacSha512,
    }
}

fn esp_cipher(cipher: EspEncryption) -> EspCipher {
    match cipher {
        EspEncryption::Aes128Gcm16 => EspCipher::Aes128Gcm16,
        EspEncryption::Aes192Gcm16 => EspCipher::Aes192Gcm16,
        EspEncryption::Aes256Gcm16 => EspCipher::Aes256Gcm16,
        EspEncryption::ChaCha20Poly1305 => EspCipher::ChaCha20Poly1305,
        EspEncryption::Aes128Cbc => EspCipher::Aes128Cbc,
        EspEncryption::Aes192Cbc => EspCipher::Aes192Cbc,
        EspEncryption::Aes256Cbc => EspCipher::Aes256Cbc,
    }
}

#[cfg(test)]
mod tests {
    use gateway::{DistinguishedName, Keyword};

    use super::*;

    #[test]
    fn words_mean_the_same_on_both_sides() {
        for (word, value) in IkeEncryption::WORDS {
            assert_eq!(ike_cipher(*value).to_string(), *word);
        }
        for (word, value) in EspEncryption::WORDS {
            assert_eq!(esp_cipher(*value).to_string(), *word);
        }
        for (word, value) in KeyExchange::WORDS {
            assert_eq!(group(*value).to_string(), *word);
        }
        for (word, value) in Integrity::WORDS {
            assert_eq!(integrity(*value).to_string(), *word);
        }
        for (word, value) in Prf::WORDS {
            assert_eq!(prf(*value).to_string(), format!("prf{word}"));
        }
        // And every algorithm of IKE's has a word.
        assert_eq!(IkeEncryption::WORDS.len(), IkeCipher::ALL.len());
        assert_eq!(EspEncryption::WORDS.len(), EspCipher::ALL.len());
        assert_eq!(KeyExchange::WORDS.len(), KeGroup::ALL.len());
        assert_eq!(Integrity::WORDS.len(), ike::Integrity::ALL.len());
        assert_eq!(Prf::WORDS.len(), PrfAlgorithm::ALL.len());
    }

    #[test]
    fn what_is_weak_is_weak_on_both_sides() {
        // The reader warns of what the status flags: each as the only algorithm of its kind that is not the example's.
        let example = include_str!("../../../examples/static.toml");
        let warned = |from: &str, to: String| {
            assert!(example.contains(from), "{from}");
            let resources = Resources::parse("", &example.replacen(from, &to, 1)).unwrap();
            resources.warnings().iter().any(|warning| warning.to_string().contains("is weak"))
        };
        let ike = "encryption = [\"aes128gcm16\", \"aes128\"]";
        for (word, value) in IkeEncryption::WORDS {
            let to = format!("encryption = [\"{word}\"]");
            assert_eq!(warned(ike, to), ike_cipher(*value).is_weak(), "{word}");
        }
        for (word, value) in KeyExchange::WORDS {
            let to = format!("key_exchange = [\"{word}\"]");
            assert_eq!(warned("key_exchange = [\"x25519\", \"ecp256\"]", to), group(*value).is_weak(), "{word}");
        }
        for (word, value) in Integrity::WORDS {
            let to = format!("integrity = [\"{word}\"]");
            assert_eq!(warned("integrity = [\"sha256\"]", to), integrity(*value).is_weak(), "{word}");
        }
        for (word, value) in Prf::WORDS {
            assert_eq!(warned("prf = [\"sha256\"]", format!("prf = [\"{word}\"]")), prf(*value).is_weak(), "{word}");
        }
    }

    #[test]
    fn the_data_plane_has_every_suite_of_esp() {
        for cipher in EspCipher::ALL {
            for integrity in [None].into_iter().chain(ike::Integrity::ALL.map(Some)) {
                let Some(suite) = suite(cipher, integrity) else {
                    assert!(!cipher.is_aead() && integrity.is_none(), "{cipher}");
                    continue;
                };
                let keys = cipher.key_bytes() + integrity.filter(|_| !cipher.is_aead()).map_or(0, |i| i.key_bytes());
                assert_eq!((suite.key_length(), suite.salt_length()), (keys, cipher.salt_bytes()), "{suite}");
                let tag = integrity.filter(|_| !cipher.is_aead()).map_or(16, |i| i.icv_bytes());
                assert_eq!(suite.tag_length(), tag, "{suite}");
            }
        }
    }

    #[test]
    fn names_are_taken_on_both_sides() {
        for kind in DistinguishedName::TYPES {
            let value = if kind == "C" { "CH" } else { "x-1" };
            let name: Identity = format!("{kind}={value}, CN=gw").parse().unwrap();
            let shown = identity(&name).to_string();
            // One attribute has two names.
            assert_eq!(shown.replace("emailAddress=", "E="), name.to_string().replace("emailAddress=", "E="), "{kind}");
        }
        for text in ["keyid:branch-7", "keyid:0x00ff", "ops@example.com", "gw.example", "2001:db8::1"] {
            assert_eq!(identity(&text.parse().unwrap()).to_string(), text);
        }
    }

    #[test]
    fn the_example_becomes_a_configuration() {
        let resources = Resources::parse("", include_str!("../../../examples/static.toml")).unwrap();
        let configuration = configuration(&resources.tunnels()[0]).unwrap();
        assert_eq!(configuration.authentication, ike::Psk::new(*b"correct_horse_battery").into());
        assert_eq!(configuration.local_selectors, [TrafficSelector::prefix([10, 1, 0, 0].into(), 16).unwrap()]);
        assert_eq!(configuration.liveness.unwrap().as_secs(), 10);
        assert!(configuration.esp.esn && !configuration.force_encapsulation);
        assert!(redirects(&resources, &resources.tunnels()[0]).is_empty());
        let further = "addresses = [\"198.51.100.2\", \"198.51.100.3\", \"2001:db8::3\", \"2001:db8::4\"]";
        let text = include_str!("../../../examples/static.toml").replacen("addresses = [\"198.51.100.2\"]", further, 1);
        let resources = Resources::parse("", &text).unwrap();
        assert_eq!(redirects(&resources, &resources.tunnels()[0]), [IpAddr::from([198, 51, 100, 3])]);
    }
}
