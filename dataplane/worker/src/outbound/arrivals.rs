//! Whose frames are that come in.

use tables::{Attachment, AttachmentIndex, Gateway, GatewayIndex, Seen, Snapshot, Vlans};
use wire::{Address, MacAddress};

use crate::DropReason;
use crate::stage::Stopwatch;
use crate::turn::{Origin, Turn};

/// Prefixes of which a look-up waits for what is not in the first-level cache.
const MANY_PREFIXES: usize = 512;

/// Where frames come in.
#[derive(Clone, Copy)]
pub(crate) enum Entrance<'a> {
    /// Through a port towards VPCs.
    Vpc(&'a Vlans),
    /// From this gateway's own host.
    Host(GatewayIndex),
}

/// Where the frames of a batch come in, one after the other.
pub(crate) struct Arrivals<'a> {
    snapshot: &'a Snapshot,
    entrance: Entrance<'a>,
    pub(super) gateway: GatewayIndex,
    /// The gateway itself, if there is one.
    pub(super) table: Option<&'a Gateway>,
    /// Whether the routes of one of the gateways that there were are too many to stay cached.
    pub(super) wide: bool,
    /// Of the last frame.
    vlan: u16,
    /// Its attachment, if there is one of its VLAN.
    attachment: Option<&'a Attachment>,
    pub(super) origin: Origin,
    /// Whether there is something to see to in the sources of the attachment's packets, and the last one that was seen to.
    screens: bool,
    screened: Option<Address>,
}

impl<'a> Arrivals<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, entrance: Entrance<'a>) -> Self {
        let (origin, gateway, wide) = (Origin::Host, GatewayIndex(u32::MAX), false);
        let (table, vlan, attachment, screens, screened) = (None, Vlans::UNTAGGED, None, false, None);
        let mut arrivals =
            Self { snapshot, entrance, gateway, table, wide, vlan, attachment, origin, screens, screened };
        arrivals.change(vlan);
        arrivals
    }

    /// Whether a packet is from the attachment of the one before, and its source is one that it may have, and nothing is to be
    /// learnt of it.
    #[inline(always)]
    pub(super) fn goes_on(&self, vlan: u16, frame: &[u8], source: Address) -> bool {
        vlan == self.vlan && self.origin != Origin::Host && (!self.screens || self.expects(frame, source))
    }

    /// Whether [`Arrivals::screen`] would find nothing.
    #[inline(always)]
    fn expects(&self, frame: &[u8], source: Address) -> bool {
        let Some(attachment) = self.attachment else { return false };
        attachment.may_send_from(source)
            && (!attachment.learns || self.screened == Some(source) || unknown(attachment, frame, source).is_none())
    }

    /// Turns to the attachment of a frame's VLAN, and sees to its source.
    #[inline(always)]
    pub(super) fn enter<W: Stopwatch>(
        &mut self,
        vlan: u16,
        frame: &[u8],
        source: Address,
        turn: &Turn<'_, W>,
    ) -> Result<(), DropReason> {
        self.turn_to(vlan);
        if self.screens && self.screened != Some(source) { self.screen(frame, source, turn) } else { Ok(()) }
    }

    /// Turns to the attachment of a VLAN, and returns its gateway, if there is one.
    #[inline(always)]
    pub(crate) fn turn_to(&mut self, vlan: u16) -> Option<&'a Gateway> {
        if vlan != self.vlan {
            self.change(vlan);
        }
        self.table
    }

    #[inline(never)]
    fn change(&mut self, vlan: u16) {
        (self.vlan, self.screened) = (vlan, None);
        match self.entrance {
            Entrance::Vpc(vlans) => {
                let index = vlans.attachment(vlan);
                self.attachment = index.and_then(|index| self.snapshot.attachments.get(index.position()));
                self.origin = Origin::Vpc(index.unwrap_or(AttachmentIndex(u32::MAX)));
                // Before a frame has an attachment it has no gateway, and there is nobody to tell.
                self.gateway = self.attachment.map_or(GatewayIndex(u32::MAX), |attachment| attachment.gateway);
                self.screens = self.attachment.is_none_or(|from| from.sources.is_some() || from.learns);
            }
            Entrance::Host(gateway) => self.gateway = gateway,
        }
        self.table = self.snapshot.gateways.get(self.gateway.position());
        self.wide |= self.table.is_some_and(|table| table.routes.prefixes() > MANY_PREFIXES);
    }

    #[inline(never)]
    fn screen<W: Stopwatch>(&mut self, frame: &[u8], source: Address, turn: &Turn<'_, W>) -> Result<(), DropReason> {
        let attachment = self.attachment.ok_or(DropReason::UnknownVlan)?;
        if !attachment.may_send_from(source) {
            return Err(DropReason::SpoofedSource);
        }
        if attachment.learns {
            self.learn(attachment, frame, source, turn);
        }
        self.screened = Some(source);
        Ok(())
    }

    fn learn<W: Stopwatch>(&self, attachment: &Attachment, frame: &[u8], source: Address, turn: &Turn<'_, W>) {
        if let (Origin::Vpc(index), Some(mac)) = (self.origin, unknown(attachment, frame, source)) {
            turn.tell_seen(Seen { attachment: index, address: source.into(), mac });
        }
    }
}

/// The sender of a frame, if it is a neighbour that is not known, or by another address.
#[inline(never)]
fn unknown(attachment: &Attachment, frame: &[u8], source: Address) -> Option<MacAddress> {
    let mac = *frame.get(6..)?.first_chunk()?;
    let new = match attachment.link(source) {
        Some(Ok(known)) => known.bytes()[..6] != mac,
        Some(Err(_)) => true,
        None => false,
    };
    let group = mac[0] & 1 != 0;
    (new && !group).then_some(MacAddress(mac))
}
