//! How many connections and tunnels may be open at once, over all workers. Asked when a connection is accepted and when
//! one may become a tunnel, never for an ordinary request.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Limits;

/// The counts that all workers share.
#[derive(Debug)]
pub(super) struct Gate {
    max_connections: usize,
    max_connections_per_ip: usize,
    max_tunnels: usize,
    connections: AtomicUsize,
    tunnels: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    gate: Arc<Gate>,
    /// Counted by address; not for loopback.
    address: Option<IpAddr>,
}

/// A tunnel's place; given back when dropped.
#[derive(Debug)]
pub(super) struct TunnelPlace(Arc<Gate>);

impl Gate {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            max_connections: limits.max_connections,
            max_connections_per_ip: limits.max_connections_per_ip,
            max_tunnels: limits.max_tunnels,
            connections: AtomicUsize::new(0),
            tunnels: AtomicUsize::new(0),
            by_address: Mutex::new(HashMap::new()),
        })
    }

    /// A place for a connection from `address`, if there is one.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = counted(address);
        if address.is_some_and(|address| !self.count(address)) {
            return None;
        }
        let place = Place { gate: Arc::clone(self), address };
        // Counted before it is compared, so that two workers cannot both take the last place.
        let open = self.connections.fetch_add(1, Ordering::Relaxed);
        (open < self.max_connections).then_some(place)
    }

    /// Counts for this address from now on; `false` if it has no more room, and the place is to be given back.
    fn count(&self, address: IpAddr) -> bool {
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let open = by_address.entry(address).or_insert(0);
        let room = *open < self.max_connections_per_ip;
        if room {
            *open += 1;
        }
        room
    }

    fn uncount(&self, address: IpAddr) {
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = by_address.get_mut(&address) {
            *open -= 1;
            if *open == 0 {
                by_address.remove(&address);
            }
        }
    }

    /// A place for a tunnel, if there is one. Taken before the upstream is asked, so that a tunnel that it grants has
    /// its place.
    pub(super) fn tunnel(self: &Arc<Self>) -> Option<TunnelPlace> {
        let place = TunnelPlace(Arc::clone(self));
        // Counted before it is compared, as above.
        let open = self.tunnels.fetch_add(1, Ordering::Relaxed);
        (open < self.max_tunnels).then_some(place)
    }
}

impl Place {
    /// Counts the connection for `client` instead, for whom it turns out to be. Whether there is room for it.
    pub(super) fn is_for(&mut self, client: IpAddr) -> bool {
        if let Some(peer) = self.address.take() {
            self.gate.uncount(peer);
        }
        self.address = counted(client).filter(|client| self.gate.count(*client));
        self.address.is_some() == counted(client).is_some()
    }
}

/// The address that a connection is counted by: none for loopback.
fn counted(address: IpAddr) -> Option<IpAddr> {
    Some(address.to_canonical()).filter(|address| !address.is_loopback())
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.address {
            self.gate.uncount(address);
        }
    }
}

impl Drop for TunnelPlace {
    fn drop(&mut self) {
        self.0.tunnels.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn gate() -> Arc<Gate> {
        Gate::new(&Limits {
            max_connections: 3,
            max_connections_per_ip: 2,
            max_tunnels: 1,
            max_header_bytes: 0,
            max_headers: 0,
            max_uri_bytes: 0,
            header_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            body_timeout: Duration::ZERO,
            drain_timeout: Duration::ZERO,
        })
    }

    #[test]
    fn an_address_has_its_limit_and_loopback_only_the_common_one() {
        let gate = gate();
        let guest: IpAddr = "192.0.2.1".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        let first = gate.enter(guest).unwrap();
        let _second = gate.enter(mapped).unwrap();
        assert!(gate.enter(guest).is_none());
        drop(first);
        let _third = gate.enter(guest).unwrap();
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        let _fourth = gate.enter(local).unwrap();
        assert!(gate.enter(local).is_none(), "three connections are the limit for all");
        assert!(gate.enter("192.0.2.2".parse().unwrap()).is_none());
    }

    #[test]
    fn who_is_spoken_for_is_counted_and_not_who_speaks() {
        let gate = gate();
        let [proxy, guest]: [IpAddr; 2] = ["192.0.2.9", "192.0.2.1"].map(|address| address.parse().unwrap());
        let mut first = gate.enter(proxy).unwrap();
        assert!(first.is_for(guest));
        let mut second = gate.enter("127.0.0.1".parse().unwrap()).unwrap();
        assert!(second.is_for(guest));
        let mut third = gate.enter(proxy).unwrap();
        assert!(!third.is_for(guest), "two are the limit for each");
        drop((first, third));
        assert!(second.is_for("::1".parse().unwrap()));
        assert!(gate.by_address.lock().unwrap().is_empty());
    }

    #[test]
    fn all_places_come_back() {
        let gate = gate();
        for _ in 0..10 {
            let places: Vec<_> = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]
                .iter()
                .filter_map(|address| gate.enter(address.parse().unwrap()))
                .collect();
            assert_eq!(places.len(), 3);
        }
        assert!(gate.by_address.lock().unwrap().is_empty());
        let tunnel = gate.tunnel();
        assert!(tunnel.is_some() && gate.tunnel().is_none());
        drop(tunnel);
        assert!(gate.tunnel().is_some());
    }
}
