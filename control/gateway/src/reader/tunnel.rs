//! From a `[[vpn_tunnel]]` table to a draft of the tunnel.

use std::net::IpAddr;

use toml::de::DeValue;

use super::authentication::{authentication, ppk};
use super::{close, name};
use crate::algorithm::{Integrity, KeyExchange, Strength};
use crate::draft::TunnelDraft;
use crate::identity::Identity;
use crate::index::ConnectionIndex;
use crate::interface_address::InterfaceAddress;
use crate::keyword::Keyword;
use crate::names::Names;
use crate::outer::{Dscp, HopLimit, Mss, MssClamp, OuterDscp, OuterParameters, PathMtu};
use crate::parameters::{ChildSas, EspParameters, IkeParameters, Lifetime, Liveness, ReplayWindow, Volume};
use crate::prefix::Prefix;
use crate::report::{At, Complaint};
use crate::resource::{AdminState, Bandwidth, Startup, UdpEncapsulation, Weight};
use crate::scalar;
use crate::section::{Found, Section};

pub(super) fn tunnel(mut section: Section<'_, '_>, connections: &Names) -> TunnelDraft {
    let name = name(&mut section);
    let connection = connections.reference(&mut section).map(|at| at.map(ConnectionIndex::from_position));
    let local_address = section.required("local_address", "one of the connection's addresses", scalar::address);
    let remote_address = section.required("remote_address", "one of the customer gateway's addresses", scalar::address);
    let authentication = authentication(&mut section);
    let ppk = ppk(&mut section);
    let mut identity = |key, address: Option<At<IpAddr>>| {
        section.field(key, scalar::text).or(address.map(|at| at.map(Identity::from))).map(|at| at.value)
    };
    let local_id = identity("local_id", local_address);
    let remote_id = identity("remote_id", remote_address);
    let admin = section.defaulted("admin", AdminState::Up, scalar::word);
    let paused = section.defaulted("paused", false, scalar::boolean);
    let startup = section.defaulted("startup", Startup::Initiate, scalar::word);
    let local_prefixes = selectors(&mut section, "local_prefixes");
    let remote_prefixes = selectors(&mut section, "remote_prefixes");
    let udp_encapsulation = section.defaulted("udp_encapsulation", UdpEncapsulation::Auto, scalar::word);
    let mobike = section.defaulted("mobike", false, scalar::boolean);
    let bandwidth = section.field("bandwidth_mbps", scalar::number(Bandwidth::from_megabits_per_second));
    let weight = section.defaulted("weight", Weight::DEFAULT, scalar::number(Weight::from_number));
    let inner_address = section.field("inner_address", scalar::text::<InterfaceAddress>);
    let peer_inner_address = section.field("peer_inner_address", scalar::any_address);
    let outer = outer(section.table("outer"), local_address);
    let ike = ike(section.table("ike"));
    let esp = esp(section.table("esp"));
    TunnelDraft {
        head: close(section),
        name,
        connection,
        local_address,
        remote_address,
        authentication,
        ppk,
        local_id,
        remote_id,
        admin,
        paused,
        startup,
        local_prefixes,
        remote_prefixes,
        udp_encapsulation,
        mobike,
        bandwidth,
        weight,
        inner_address,
        peer_inner_address,
        outer,
        ike,
        esp,
    }
}

fn selectors(section: &mut Section<'_, '_>, key: &'static str) -> Option<At<Vec<Prefix>>> {
    let given = section.list(key, scalar::text::<Prefix>);
    let default = At { value: vec![Prefix::ALL_IPV4], offset: section.offset };
    given.map(|prefixes| prefixes.into_iter().map(|at| at.value).collect()).or(Some(default))
}

fn outer(mut section: Section<'_, '_>, local: Option<At<IpAddr>>) -> Option<OuterParameters> {
    let default = OuterParameters::default();
    let fixed = |number| Dscp::from_number(number).map(OuterDscp::Fixed);
    let dscp = scalar::word_or_number(&[("copy", OuterDscp::Copy)], fixed);
    let dscp = section.defaulted("dscp", default.dscp, dscp);
    let ecn = section.defaulted("ecn", default.ecn, scalar::boolean);
    let df = section.defaulted("df", default.df, scalar::word);
    let hop_limit = section.defaulted("hop_limit", default.hop_limit, scalar::number(HopLimit::from_number));
    let path_mtu = match local {
        Some(At { value: IpAddr::V6(_), .. }) => section.field("path_mtu", scalar::number(PathMtu::of_ipv6)),
        Some(At { value: IpAddr::V4(_), .. }) | None => section.field("path_mtu", scalar::number(PathMtu::of_ipv4)),
    };
    let fixed = |bytes| Mss::from_bytes(bytes).map(MssClamp::Fixed);
    let mss_clamp = scalar::word_or_number(&[("auto", MssClamp::Auto), ("off", MssClamp::Off)], fixed);
    let mss_clamp = section.defaulted("mss_clamp", default.mss_clamp, mss_clamp);
    section.finish();
    Some(OuterParameters {
        dscp: dscp?,
        ecn: ecn?,
        df: df?,
        hop_limit: hop_limit?,
        path_mtu: path_mtu.optional()?,
        mss_clamp: mss_clamp?,
    })
}

fn ike(mut section: Section<'_, '_>) -> Option<IkeParameters> {
    let default = IkeParameters::default();
    // The version is no choice, but who writes it down should be told what holds.
    let version = section.defaulted("version", (), |value| match scalar::string(value)? {
        "v2" => Ok(()),
        "v1" => Err(Complaint::new("is not offered: IKEv1 is deprecated by RFC 9395").allowed("v2").quoting("v1")),
        other => Err(Complaint::new("is not known").allowed("v2").quoting(other)),
    });
    let key_exchange = algorithms(&mut section, "key_exchange", default.key_exchange);
    let additional_key_exchange = additional_key_exchange(&mut section, true);
    let encryption = algorithms(&mut section, "encryption", default.encryption);
    let aead = encryption.as_ref().is_some_and(|ciphers| ciphers.iter().all(|cipher| cipher.is_aead()));
    let integrity = integrity(&mut section, aead, "integrity with aes128, aes192, aes256 or 3des", default.integrity);
    let prf = algorithms(&mut section, "prf", default.prf);
    let liveness = section.defaulted("liveness_seconds", default.liveness, scalar::number(Liveness::from_seconds));
    let lifetime = section.defaulted("lifetime_seconds", default.lifetime, scalar::number(Lifetime::from_seconds));
    section.finish();
    version?;
    Some(IkeParameters {
        key_exchange: key_exchange?,
        additional_key_exchange: additional_key_exchange?,
        encryption: encryption?,
        integrity: integrity?,
        prf: prf?,
        liveness: liveness?,
        lifetime: lifetime?,
    })
}

fn esp(mut section: Section<'_, '_>) -> Option<EspParameters> {
    let default = EspParameters::default();
    let encryption = algorithms(&mut section, "encryption", default.encryption);
    let aead = encryption.as_ref().is_some_and(|ciphers| ciphers.iter().all(|cipher| cipher.is_aead()));
    let integrity = integrity(&mut section, aead, "integrity with aes128, aes192 or aes256", default.integrity);
    let key_exchange = algorithms(&mut section, "key_exchange", default.key_exchange);
    let has_first = key_exchange.as_ref().is_none_or(|methods| !methods.is_empty());
    let additional_key_exchange = additional_key_exchange(&mut section, has_first);
    let esn = section.defaulted("esn", default.esn, scalar::boolean);
    let child_sas = section.defaulted("child_sas", default.child_sas, scalar::number(ChildSas::from_count));
    let replay_window =
        section.defaulted("replay_window", default.replay_window, scalar::number(ReplayWindow::from_packets));
    let lifetime = section.defaulted("lifetime_seconds", default.lifetime, scalar::number(Lifetime::from_seconds));
    let lifetime_packets =
        section.defaulted("lifetime_packets", default.lifetime_packets, scalar::number(Volume::from_count));
    let lifetime_bytes =
        section.defaulted("lifetime_bytes", default.lifetime_bytes, scalar::number(Volume::from_count));
    section.finish();
    Some(EspParameters {
        encryption: encryption?,
        integrity: integrity?,
        key_exchange: key_exchange?,
        additional_key_exchange: additional_key_exchange?,
        esn: esn?,
        child_sas: child_sas?,
        replay_window: replay_window?,
        lifetime: lifetime?,
        lifetime_packets: lifetime_packets?,
        lifetime_bytes: lifetime_bytes?,
    })
}

/// A list of algorithms; weak ones are allowed where they are written down, and only there.
fn algorithms<K: Keyword + Strength>(
    section: &mut Section<'_, '_>,
    key: &'static str,
    default: Vec<K>,
) -> Option<Vec<K>> {
    match section.list(key, scalar::word::<K>) {
        Found::Absent => Some(default),
        Found::Bad => None,
        Found::Good(list) => {
            list.value.iter().for_each(|entry| warn_of_weak(section, key, *entry));
            Some(list.value.into_iter().map(|entry| entry.value).collect())
        }
    }
}

/// Integrity algorithms, which have nothing to do where all ciphers are AEADs.
fn integrity(
    section: &mut Section<'_, '_>,
    aead: bool,
    allowed: &str,
    default: Vec<Integrity>,
) -> Option<Vec<Integrity>> {
    let found = section.list("integrity", scalar::word);
    let list = match found {
        Found::Absent => return Some(default),
        Found::Bad => return None,
        Found::Good(list) => list,
    };
    if aead {
        let complaint = Complaint::new("has no effect: every cipher in encryption authenticates by itself");
        section.warn("integrity", list.offset, complaint.allowed(allowed));
    } else {
        list.value.iter().for_each(|entry| warn_of_weak(section, "integrity", *entry));
    }
    Some(list.value.into_iter().map(|entry| entry.value).collect())
}

/// Rounds of key exchange: each is a word, or a list of words of which one is agreed on.
fn additional_key_exchange(section: &mut Section<'_, '_>, has_first: bool) -> Option<Vec<Vec<KeyExchange>>> {
    const KEY: &str = "additional_key_exchange";
    let list = match section.list(KEY, |value| match value {
        DeValue::Array(methods) => methods.iter().map(|method| scalar::word(method.get_ref())).collect(),
        one => scalar::word(one).map(|method| vec![method]),
    }) {
        Found::Absent => return Some(Vec::new()),
        Found::Bad => return None,
        Found::Good(list) => list,
    };
    if !has_first && !list.value.is_empty() {
        let complaint = Complaint::new("has no key exchange to follow").allowed("together with key_exchange");
        section.error(KEY, list.offset, complaint);
        return None;
    }
    let most = IkeParameters::MOST_ADDITIONAL_KEY_EXCHANGES;
    if list.value.len() > most {
        let complaint = Complaint::new(format!("has {} rounds", list.value.len()));
        section.error(KEY, list.offset, complaint.allowed(format!("at most {most}")));
        return None;
    }
    for round in &list.value {
        if round.value.is_empty() {
            section.error(
                KEY,
                round.offset,
                Complaint::new("has an empty round").allowed("at least one method a round"),
            );
            return None;
        }
        round.value.iter().for_each(|&value| warn_of_weak(section, KEY, At { value, offset: round.offset }));
    }
    Some(list.value.into_iter().map(|round| round.value).collect())
}

fn warn_of_weak<K: Keyword + Strength>(section: &Section<'_, '_>, key: &str, entry: At<K>) {
    if let Some(weakness) = entry.value.weakness() {
        let complaint = Complaint::new(format!("is weak: {weakness}; keep it for peers that have nothing better"));
        section.warn(key, entry.offset, complaint.quoting(entry.value.word()));
    }
}
