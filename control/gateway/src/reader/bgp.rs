//! From the `bgp` and `bfd` tables of a `[[vpn_connection]]` to drafts of what they say.

use toml::de::DeValue;

use super::authentication::key;
use crate::bgp::{
    AddressFamily, BfdAuthentication, BfdInterval, BfdKeyId, BfdMultiplier, BgpParameters, ConnectRetry, HoldTime,
    OwnAsnCount, Policy, PrefixCount, PrependCount, RestartTime, StaleTime,
};
use crate::draft::{BfdDraft, BgpDraft, KeyDraft};
use crate::index::FilterIndex;
use crate::names::Names;
use crate::report::{At, Complaint};
use crate::scalar;
use crate::section::{Found, Section};

pub(super) fn bgp(mut section: Section<'_, '_>, filters: &Names) -> Option<BgpDraft> {
    let default = BgpParameters::default();
    let local_asn = section.field("local_asn", scalar::asn);
    let hold = section.defaulted("hold_seconds", default.hold, scalar::number(HoldTime::from_seconds));
    let connect_retry =
        section.defaulted("connect_retry_seconds", default.connect_retry, scalar::number(ConnectRetry::from_seconds));
    let passive = section.defaulted("passive", default.passive, scalar::boolean);
    let families = section.list("families", scalar::word::<AddressFamily>);
    let graceful_restart = section.defaulted(
        "graceful_restart_seconds",
        default.graceful_restart,
        scalar::number(RestartTime::from_seconds),
    );
    let long_lived_stale = section.defaulted(
        "long_lived_stale_seconds",
        default.long_lived_stale,
        scalar::number(StaleTime::from_seconds),
    );
    let allow_own_asn =
        section.defaulted("allow_own_asn", default.allow_own_asn, scalar::number(OwnAsnCount::from_count));
    let override_asn = section.defaulted("override_asn", default.override_asn, scalar::boolean);
    let prefix_limit = section.defaulted("prefix_limit", default.prefix_limit, scalar::number(PrefixCount::from_count));
    let prefix_excess = section.defaulted("prefix_excess", default.prefix_excess, scalar::word);
    let import =
        section.defaulted("import", default.import, policy(&[("all", Policy::All), ("none", Policy::None)], filters));
    let words = [("all", Policy::All), ("own", Policy::Own), ("none", Policy::None)];
    let export = section.defaulted("export", default.export, policy(&words, filters));
    let md5_key = key(&mut section, "md5_key", "md5_key_file");
    let ttl_security = section.defaulted("ttl_security", default.ttl_security, scalar::boolean);
    let drain_prepend =
        section.defaulted("drain_prepend", default.drain_prepend, scalar::number(PrependCount::from_count));
    let drain_med = section.defaulted("drain_med", default.drain_med, scalar::any_number);
    let md5_key = no_longer(&section, "md5_key", md5_key, BgpParameters::MAX_MD5_KEY);
    section.finish();
    Some(BgpDraft {
        md5_key: md5_key.optional_at()?,
        parameters: BgpParameters {
            local_asn: local_asn.optional()?,
            hold: hold?,
            connect_retry: connect_retry?,
            passive: passive?,
            families: families.optional()?.map(|list| list.into_iter().map(|family| family.value).collect()),
            graceful_restart: graceful_restart?,
            long_lived_stale: long_lived_stale?,
            allow_own_asn: allow_own_asn?,
            override_asn: override_asn?,
            prefix_limit: prefix_limit?,
            prefix_excess: prefix_excess?,
            import: import?,
            export: export?,
            md5_key: None,
            ttl_security: ttl_security?,
            drain_prepend: drain_prepend?,
            drain_med: drain_med?,
        },
    })
}

/// One of a few words, or the name of a filter.
fn policy<'a>(
    words: &'a [(&'static str, Policy)],
    filters: &'a Names,
) -> impl Fn(&DeValue<'_>) -> Result<Policy, Complaint> + 'a {
    move |value| {
        let text = scalar::string(value)?;
        if let Some((_, policy)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*policy);
        }
        let listed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let place = filters.find(text).map_err(|complaint| complaint.or_allowed(&listed.join(", ")))?;
        // A name that may be that of a filter which could not be read is no further mistake.
        Ok(place.map_or(Policy::None, |place| Policy::Filter(FilterIndex::from_position(place))))
    }
}

/// BFD is spoken if its interval is given.
pub(super) fn bfd(mut section: Section<'_, '_>) -> Found<BfdDraft> {
    let given = !section.is_empty();
    let offset = section.offset;
    let interval = section.field("interval_ms", scalar::number(BfdInterval::from_milliseconds));
    let multiplier = section.field("multiplier", scalar::number(BfdMultiplier::from_packets));
    let multihop = section.defaulted("multihop", false, scalar::boolean);
    let none_or_word = |value: &DeValue<'_>| match value.as_str() {
        Some("none") => Ok(None),
        _ => scalar::word::<BfdAuthentication>(value).map(Some),
    };
    let authentication = section.defaulted("authentication", None, none_or_word);
    let key_id = section.field("key_id", scalar::number(BfdKeyId::from_number));
    let key = key(&mut section, "key", "key_file");
    let key = match authentication {
        Some(Some(authentication)) => no_longer(&section, "key", key, authentication.longest_key()),
        Some(None) | None => key,
    };
    if !given {
        return Found::Absent;
    }
    if matches!(interval, Found::Absent) {
        section.missing("interval_ms", "10 to 60000");
    }
    if let (Some(Some(_)), Found::Absent) = (authentication, &key) {
        section.missing("key", "key or key_file with this authentication");
    }
    if let (Some(None), Found::Good(key)) = (authentication, &key) {
        let complaint = Complaint::new("is given without authentication");
        section.error("key", key.offset, complaint.allowed("authentication beside it"));
    }
    section.finish();
    let read = || {
        let authentication = match authentication? {
            Some(authentication) => {
                let id = key_id.optional()?.unwrap_or(BfdKeyId::from_number(1).ok()?);
                Some((authentication, id, key.good()?))
            }
            None => None,
        };
        let multiplier = multiplier.optional()?.unwrap_or(BfdMultiplier::from_packets(3).ok()?);
        Some(BfdDraft { interval: interval.good()?.value, multiplier, multihop: multihop?, authentication })
    };
    read().map_or(Found::Bad, |value| Found::Good(At { value, offset }))
}

/// A key that stands in the resource file has to fit; one in a file of its own is looked at when that is read.
fn no_longer(section: &Section<'_, '_>, field: &'static str, key: Found<KeyDraft>, most: usize) -> Found<KeyDraft> {
    match key {
        Found::Good(At { value: KeyDraft::Inline(key), offset }) if key.secret().len() > most => {
            section.error(field, offset, Complaint::new("is too long").allowed(format!("1 to {most} bytes")));
            Found::Bad
        }
        other => other,
    }
}
