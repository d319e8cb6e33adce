//! What the ports are for.

use std::sync::Arc;

use crate::AttachmentIndex;

/// What a port is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortRole {
    /// Towards the peers: ESP and IKE.
    Wan,
    /// Towards VPCs: clear traffic of these attachments.
    Vpc(Vlans),
}

/// The attachments that share an interface, by the VLAN of their frames (IEEE 802.1Q); 0 stands for frames without a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vlans(Arc<[(u16, AttachmentIndex)]>);

impl Vlans {
    /// Frames without a tag, of which those with only a priority are some (IEEE 802.1Q §6.9).
    pub const UNTAGGED: u16 = 0;

    /// Each VLAN once; of several attachments with the same the first counts.
    #[must_use]
    pub fn new(attachments: impl IntoIterator<Item = (u16, AttachmentIndex)>) -> Self {
        let mut attachments: Vec<_> = attachments.into_iter().collect();
        attachments.sort_by_key(|(vlan, _)| *vlan);
        attachments.dedup_by_key(|(vlan, _)| *vlan);
        Self(attachments.into())
    }

    /// One attachment, that of the frames without a tag.
    #[must_use]
    pub fn untagged(attachment: AttachmentIndex) -> Self {
        Self::new([(Self::UNTAGGED, attachment)])
    }

    /// The attachment of a VLAN's frames.
    #[must_use]
    pub fn attachment(&self, vlan: u16) -> Option<AttachmentIndex> {
        let position = self.0.binary_search_by_key(&vlan, |(vlan, _)| *vlan).ok()?;
        Some(self.0[position].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vlan_has_its_own_attachment_or_none() {
        let vlans = Vlans::new([(200, AttachmentIndex(2)), (0, AttachmentIndex(0)), (100, AttachmentIndex(1))]);
        let found = [0, 100, 200, 1, 4095].map(|vlan| vlans.attachment(vlan).map(|attachment| attachment.0));
        assert_eq!(found, [Some(0), Some(1), Some(2), None, None]);
        assert_eq!(Vlans::untagged(AttachmentIndex(7)).attachment(0), Some(AttachmentIndex(7)));
        assert_eq!(Vlans::untagged(AttachmentIndex(7)).attachment(7), None);
    }
}
