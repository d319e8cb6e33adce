//! What monitoring stations are told of the gateways' peers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bgp::bmp::{Ports, Termination};
use bgp::{ConnectionId, Observation, Session, SourceId};
use mio::Token;

use super::Run;
use crate::connection::Connection;
use crate::station::{Station, StationEvent, StationId, StationSetup};
use crate::{GatewayId, Report};

impl Run {
    /// A station is to be told of a gateway's peers; one of another setup begins anew.
    pub(super) fn watch(&mut self, id: GatewayId, name: StationId, setup: StationSetup) {
        let Some(gateway) = self.gateways.get(&id) else { return };
        if gateway.stations.get(&name).is_some_and(|known| *known.setup() == setup) {
            return;
        }
        self.unwatch(id, name, Termination::Closed);
        if let Some(gateway) = self.gateways.get_mut(&id) {
            gateway.stations.insert(name, Station::new(setup, Instant::now()));
        }
    }

    /// A station is told nothing more.
    pub(super) fn unwatch(&mut self, id: GatewayId, name: StationId, termination: Termination) {
        let Some(gateway) = self.gateways.get_mut(&id) else { return };
        if let Some(station) = gateway.stations.remove(&name) {
            station.end(termination, self.poll.registry(), Instant::now());
            self.stations.retain(|_, known| *known != (id, name));
            self.listen(id);
        }
    }

    /// The same for all stations of a gateway.
    pub(super) fn unwatch_all(&mut self, id: GatewayId, termination: Termination) {
        let names = self.gateways.get(&id).map(|gateway| gateway.stations.keys().copied().collect::<Vec<_>>());
        names.into_iter().flatten().for_each(|name| self.unwatch(id, name, termination));
    }

    /// Something has happened to the connection of a station.
    pub(super) fn advance_station(&mut self, token: usize) {
        let Some((id, name)) = self.stations.get(&token).copied() else { return };
        let Some(gateway) = self.gateways.get_mut(&id) else { return };
        let Some(station) = gateway.stations.get_mut(&name) else { return };
        if station.is_open() {
            if let Err(event) = station.advance(&mut self.piece) {
                self.fail_station(id, name, event);
            }
            return;
        }
        match station.opened(gateway.speaker.established(), Instant::now()) {
            Ok(true) => {
                self.listen(id);
                self.report(Report::Station { gateway: id, station: name, event: StationEvent::Connected });
            }
            Ok(false) => {}
            Err(error) => self.fail_station(id, name, StationEvent::Unreachable(error.to_string())),
        }
    }

    /// Tells a gateway's stations what was seen in a call of its speaker.
    pub(super) fn observe(&mut self, id: GatewayId) {
        let Some(gateway) = self.gateways.get_mut(&id) else { return };
        let mut any = false;
        while let Some((peer, observation)) = gateway.speaker.poll_observation() {
            any = true;
            let at = unix_time();
            let stations = gateway.stations.values_mut();
            match observation {
                Observation::Up(session) => {
                    let ports = ports(&self.tokens, &self.connections, id, peer, &session);
                    stations.for_each(|station| station.peer_up(peer, &session, ports, at));
                }
                Observation::Update(update) => {
                    let mut encoded = None;
                    stations.for_each(|station| station.update(peer, &update, at, &mut encoded));
                }
                Observation::Down(ending) => stations.for_each(|station| station.peer_down(peer, &ending, at)),
            }
        }
        if any {
            let now = Instant::now();
            let relieved = gateway.stations.iter_mut().map(|(name, station)| (*name, station.relieve(now)));
            let failed: Vec<_> = relieved.filter_map(|(name, result)| Some((name, result.err()?))).collect();
            failed.into_iter().for_each(|(name, event)| self.fail_station(id, name, event));
        }
    }

    /// Connects to stations, and has all that are there told what there is room for.
    pub(super) fn serve_stations(&mut self) {
        let now = Instant::now();
        let of_each = self.gateways.iter().flat_map(|(id, gateway)| gateway.stations.keys().map(|name| (*id, *name)));
        for (id, name) in of_each.collect::<Vec<_>>() {
            let Some(gateway) = self.gateways.get_mut(&id) else { continue };
            let Some(station) = gateway.stations.get_mut(&name) else { continue };
            let result = if station.is_due(now) {
                self.last_token += 1;
                self.stations.insert(self.last_token, (id, name));
                let opened = station.open(self.poll.registry(), Token(self.last_token), now);
                // The address may not be there yet, or no route: it is tried again.
                opened.map_err(|error| StationEvent::Unreachable(error.to_string()))
            } else {
                let ports = |peer, session: &_| ports(&self.tokens, &self.connections, id, peer, session);
                station.serve(&gateway.speaker, ports, now, unix_time())
            };
            if let Err(event) = result {
                self.fail_station(id, name, event);
            }
        }
    }

    /// When to serve stations next.
    pub(super) fn station_deadlines(&self) -> impl Iterator<Item = Instant> {
        self.gateways.values().flat_map(|gateway| gateway.stations.values()).map(Station::deadline)
    }

    fn fail_station(&mut self, id: GatewayId, name: StationId, event: StationEvent) {
        let random = self.rng.next_u32();
        let Some(gateway) = self.gateways.get_mut(&id) else { return };
        let Some(station) = gateway.stations.get_mut(&name) else { return };
        let news = station.fail(&event, self.poll.registry(), Instant::now(), random);
        self.stations.retain(|_, known| *known != (id, name));
        self.listen(id);
        if news {
            self.report(Report::Station { gateway: id, station: name, event });
        }
    }

    /// What nobody is told of need not be seen.
    fn listen(&mut self, id: GatewayId) {
        let Some(gateway) = self.gateways.get_mut(&id) else { return };
        let watched = gateway.stations.values().any(Station::is_open);
        if watched != gateway.watched {
            gateway.watched = watched;
            gateway.speaker.observe(watched);
        }
    }
}

/// The ports of a session's connection.
fn ports(
    tokens: &BTreeMap<(GatewayId, SourceId, ConnectionId), usize>,
    connections: &BTreeMap<usize, Connection>,
    id: GatewayId,
    peer: SourceId,
    session: &Session,
) -> Ports {
    let token = tokens.get(&(id, peer, session.connection));
    token.and_then(|token| connections.get(token)).map(Connection::ports).unwrap_or_default()
}

fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
