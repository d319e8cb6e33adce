//! What an UPDATE says, once it is known to be sound (RFC 4271 §6.3, RFC 7606).

use std::net::{IpAddr, Ipv6Addr};

use rustbgpd_wire::notification::update_subcode;
use rustbgpd_wire::validate::{UpdateValidationOptions, validate_update_attributes_with_context};
use rustbgpd_wire::{
    DecodeError, ErrorDisposition, MpReachNlri, MpUnreachNlri, NotificationMessage, PathAttribute, Prefix,
    UpdateMessage,
};

use crate::family::{Families, Family};

/// Routes that a peer announces and withdraws.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Prefixes that it has no route to any more.
    pub withdrawn: Vec<Prefix>,
    /// Prefixes that it has a route to: of IPv4 in the message's body, of any family in `MP_REACH_NLRI`.
    pub announced: Vec<Announcement>,
    /// What all of them share, without what carries prefixes and next hops.
    pub attributes: Vec<PathAttribute>,
    /// The peer has said all that it knew of a family when the session came up (RFC 4724 §2).
    pub end_of_rib: Option<Family>,
    /// What was wrong with it, and what followed (RFC 7606).
    pub faults: Vec<Fault>,
}

/// Prefixes with one next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Where packets go.
    pub next_hop: IpAddr,
    /// Its link-local address, of IPv6 next hops that have one (RFC 2545 §3).
    pub link_local: Option<Ipv6Addr>,
    /// To where.
    pub prefixes: Vec<Prefix>,
}

/// Something in an UPDATE that does not end the session (RFC 7606 §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The attribute's type; 0 if there is not even that.
    pub attribute: u8,
    /// Whether the routes are taken as withdrawn; otherwise the attribute is left out.
    pub withdraws: bool,
    /// What is wrong, in words.
    pub words: String,
}

/// What both ends have agreed on, as far as it decides how an UPDATE is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) four_octet_as: bool,
    pub(crate) internal: bool,
    pub(crate) families: Families,
    pub(crate) link_local_next_hop: bool,
}

/// Why a session cannot go on after an UPDATE.
#[derive(Debug)]
pub(crate) struct Fatal {
    pub(crate) notification: NotificationMessage,
    pub(crate) words: String,
}

impl From<DecodeError> for Fatal {
    fn from(error: DecodeError) -> Self {
        let (code, subcode, data) = error.to_notification();
        Self { notification: NotificationMessage::new(code, subcode, data), words: error.to_string() }
    }
}

impl Update {
    pub(crate) fn read(message: &UpdateMessage, reading: Reading) -> Result<Self, Fatal> {
        let parsed = message.parse_revised(reading.four_octet_as, reading.internal, false, &[])?;
        let mut update = Self::default();
        let mut withdraws = false;
        for malformed in parsed.malformed {
            let words = malformed.error.to_string();
            let fault = update.fault(malformed.type_code, malformed.disposition, words);
            withdraws |= fault.ok_or(malformed.error)?;
        }
        let body = parsed.update.announced.iter().map(|entry| Prefix::V4(entry.prefix)).collect::<Vec<_>>();
        update.withdrawn.extend(parsed.update.withdrawn.iter().map(|entry| Prefix::V4(entry.prefix)));
        let mut options = UpdateValidationOptions::default();
        options.link_local_next_hop = reading.link_local_next_hop;
        let carried = parsed.update.attributes.iter().any(|attribute| match attribute {
            PathAttribute::MpReachNlri(reach) => !reach.announced.is_empty(),
            _ => false,
        });
        if let Err(found) = validate_update_attributes_with_context(
            &parsed.update.attributes,
            carried || !body.is_empty(),
            !body.is_empty(),
            !reading.internal,
            options,
        ) {
            let notification = NotificationMessage::new(
                rustbgpd_wire::NotificationCode::UpdateMessage,
                found.error.subcode,
                found.error.data.into(),
            );
            let words = rustbgpd_wire::notification::description(notification.code, notification.subcode).to_owned();
            // What was left out for what is wrong with it is not told of again as missing.
            let told = found.error.subcode == update_subcode::MISSING_WELLKNOWN
                && update.faults.iter().any(|fault| fault.attribute == found.type_code);
            if told {
                withdraws = true;
            } else if let Some(withdrawing) = update.fault(found.type_code, found.error.disposition, words.clone()) {
                withdraws |= withdrawing;
            } else {
                return Err(Fatal { notification, words });
            }
        }
        let (mut multiprotocol, mut unreachable, mut next_hop) = (None, None, None);
        for attribute in parsed.update.attributes {
            match attribute {
                PathAttribute::MpReachNlri(reach) => multiprotocol = Some(*reach),
                PathAttribute::MpUnreachNlri(unreach) => unreachable = Some(*unreach),
                PathAttribute::NextHop(address) => next_hop = Some(IpAddr::V4(address)),
                // RFC 7606 §7.5, §7.9, §7.10: nobody outside an AS has a say in these.
                PathAttribute::LocalPref(_) | PathAttribute::OriginatorId(_) | PathAttribute::ClusterList(_)
                    if !reading.internal => {}
                other => update.attributes.push(other),
            }
        }
        update.end_of_rib = end_of_rib(message, unreachable.as_ref());
        if let Some(MpUnreachNlri { afi, safi, withdrawn, .. }) = unreachable
            && Family::from_code((afi, safi)).is_some()
        {
            update.withdrawn.extend(withdrawn.into_iter().map(|entry| entry.prefix));
        }
        if let (Some(next_hop), false) = (next_hop, body.is_empty()) {
            update.announced.push(Announcement { next_hop, link_local: None, prefixes: body });
        } else {
            // Without a next hop there was a fault, and these are withdrawn; with one there are none.
            update.withdrawn.extend(body);
        }
        if let Some(MpReachNlri { afi, safi, next_hop, link_local_next_hop: link_local, announced, .. }) = multiprotocol
            && Family::from_code((afi, safi)).is_some()
            && !announced.is_empty()
        {
            let prefixes = announced.into_iter().map(|entry| entry.prefix).collect();
            update.announced.push(Announcement { next_hop, link_local, prefixes });
        }
        if withdraws {
            let announced = std::mem::take(&mut update.announced);
            update.withdrawn.extend(announced.into_iter().flat_map(|announcement| announcement.prefixes));
            update.attributes.clear();
        }
        update.keep(reading.families);
        Ok(update)
    }

    /// Remembers a fault and says whether it withdraws the routes; `None` if the session has to end.
    fn fault(&mut self, attribute: u8, disposition: ErrorDisposition, words: String) -> Option<bool> {
        let withdraws = match disposition {
            ErrorDisposition::AttributeDiscard => false,
            ErrorDisposition::TreatAsWithdraw => true,
            ErrorDisposition::SessionReset => return None,
        };
        self.faults.push(Fault { attribute, withdraws, words });
        Some(withdraws)
    }

    /// RFC 4760 §6: what is of a family that was not agreed on is ignored.
    fn keep(&mut self, families: Families) {
        self.withdrawn.retain(|prefix| families.contains(Family::of(prefix)));
        for announcement in &mut self.announced {
            announcement.prefixes.retain(|prefix| families.contains(Family::of(prefix)));
        }
        self.announced.retain(|announcement| !announcement.prefixes.is_empty());
        self.end_of_rib = self.end_of_rib.filter(|family| families.contains(*family));
    }
}

/// RFC 4724 §2: an empty UPDATE is IPv4's, one with an empty `MP_UNREACH_NLRI` and nothing else that family's.
fn end_of_rib(message: &UpdateMessage, unreachable: Option<&MpUnreachNlri>) -> Option<Family> {
    if !message.withdrawn_routes.is_empty() || !message.nlri.is_empty() {
        return None;
    }
    match unreachable {
        None => message.path_attributes.is_empty().then_some(Family::Ipv4),
        // Three octets of value behind three or four of header: nothing else is there.
        Some(MpUnreachNlri { afi, safi, withdrawn, .. }) => {
            let alone = withdrawn.is_empty() && message.path_attributes.len() <= 7;
            Family::from_code((*afi, *safi)).filter(|_| alone)
        }
    }
}
