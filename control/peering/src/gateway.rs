//! One border gateway: its speaker, and where it is spoken to.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bgp::{Change, SelectionId, SourceId, Speaker};

use crate::listener::Listener;
use crate::station::{Station, StationId};
use crate::{BATCH, GatewayId, OpenSocket, PeerSetup, Report};

pub(crate) struct Gateway {
    pub(crate) speaker: Speaker,
    pub(crate) open_socket: OpenSocket,
    pub(crate) port: u16,
    pub(crate) peers: BTreeMap<SourceId, PeerSetup>,
    /// By our address, with its token.
    pub(crate) listeners: BTreeMap<IpAddr, (usize, Listener)>,
    pub(crate) stations: BTreeMap<StationId, Station>,
    /// Some station is there to be told.
    pub(crate) watched: bool,
    /// How many selections the caller knows: they are numbered as they come.
    known: u32,
}

impl Gateway {
    pub(crate) fn new(speaker: Speaker, open_socket: OpenSocket, port: u16) -> Self {
        let (peers, listeners, stations) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { speaker, open_socket, port, peers, listeners, stations, watched: false, known: 0 }
    }

    /// The peer of two addresses.
    pub(crate) fn peer(&self, local: IpAddr, remote: IpAddr) -> Option<(SourceId, &PeerSetup)> {
        let mut peers = self.peers.iter();
        let found = peers.find(|(_, setup)| setup.session.local == local && setup.session.remote == remote);
        found.map(|(id, setup)| (*id, setup))
    }

    /// Routes that have changed, a batch of them; `None` if there are none.
    pub(crate) fn routes(&mut self, gateway: GatewayId) -> Option<Report> {
        let mut changes: Vec<Change> = Vec::new();
        while changes.len() < BATCH
            && let Some(change) = self.speaker.poll_route()
        {
            changes.push(change);
        }
        let most = changes.iter().filter_map(|change| change.selection).map(|SelectionId(number)| number + 1).max();
        let selections = (self.known..most.unwrap_or(0)).map(|number| {
            let id = SelectionId(number);
            (id, self.speaker.rib().sources(id).to_vec())
        });
        let selections: Vec<_> = selections.collect();
        self.known = self.known.max(most.unwrap_or(0));
        (!changes.is_empty()).then_some(Report::Routes { gateway, selections, changes })
    }
}
