//! What the region's name servers have loaded, and what they answer from it (reference §5).
//!
//! The tables change at once, these zones with the next publication: the API answers before BIND has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;

use crate::region::Region;

/// `default_dns_ttl` of a fresh region, in seconds.
pub(crate) const DEFAULT_TTL: u32 = 30;

/// Type of record that somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Start of authority of a domain.
    Soa,
    /// Name server of a domain.
    Ns,
    /// Types of which this region has no records.
    Other,
}

/// A domain that the name servers are the authority of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// The domain, in lower case.
    pub name: String,
    /// The domain's own TTL in seconds, else the region's default. Also how long resolvers keep that something does not
    /// exist: MAAS writes the same number into the last field of the SOA record.
    pub ttl: u32,
    /// Counts publications.
    pub serial: u32,
    /// The name in NS records: MAAS takes its default domain.
    pub name_server: String,
}

/// What the name servers say to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameAnswer {
    /// These addresses, one at least.
    Addresses {
        /// How long they may be kept, in seconds.
        ttl: u32,
        /// In order; all of the family that was asked for.
        addresses: BTreeSet<IpAddr>,
    },
    /// The name is that of a domain, and its SOA or NS record was asked for.
    Authority(Zone),
    /// The name exists in this domain, with records of other types only.
    NoData(Zone),
    /// This domain has no such name.
    NoName(Zone),
    /// Not in a domain that these servers are the authority of.
    NotOurs,
}

impl NameAnswer {
    /// How long a resolver may keep this answer, in seconds; the negative ones, too. `None`: it has nothing to keep.
    #[must_use]
    pub fn ttl(&self) -> Option<u32> {
        match self {
            Self::Addresses { ttl, .. } => Some(*ttl),
            Self::Authority(zone) | Self::NoData(zone) | Self::NoName(zone) => Some(zone.ttl),
            Self::NotOurs => None,
        }
    }
}

/// Address records of one name. Never empty: a resource without addresses has no line in MAAS's zone files.
#[derive(Debug)]
pub(crate) struct Addresses {
    pub(crate) ttl: u32,
    pub(crate) all: BTreeSet<IpAddr>,
}

/// The loaded zones.
#[derive(Debug, Default)]
pub(crate) struct Zones {
    serial: u32,
    name_server: String,
    ttls: BTreeMap<String, u32>,
    names: BTreeMap<String, Addresses>,
}

impl Zones {
    /// Takes over the domains with their TTLs, and the names that changed.
    pub(crate) fn load(
        &mut self,
        name_server: String,
        ttls: BTreeMap<String, u32>,
        changed: Vec<(String, Option<Addresses>)>,
    ) {
        // Serial numbers go round.
        self.serial = self.serial.wrapping_add(1);
        self.name_server = name_server;
        self.ttls = ttls;
        for (name, addresses) in changed {
            match addresses {
                Some(addresses) => self.names.insert(name, addresses),
                None => self.names.remove(&name),
            };
        }
    }

    /// What the next serial number follows.
    pub(crate) fn set_serial(&mut self, serial: u32) {
        self.serial = serial;
    }

    /// The innermost zone that a name is in.
    fn zone_of(&self, name: &str) -> Option<Zone> {
        let (name, ttl) = with_parents(name).find_map(|n| self.ttls.get_key_value(n))?;
        let (serial, name_server) = (self.serial, self.name_server.clone());
        Some(Zone { name: name.clone(), ttl: *ttl, serial, name_server })
    }

    /// A name also exists when others lie below it.
    fn exists(&self, name: &str) -> bool {
        let below = |other: &String| other.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
        self.names.contains_key(name)
            || self.ttls.contains_key(name)
            || self.names.keys().any(below)
            || self.ttls.keys().any(below)
    }

    /// The records that answer for a name: its own, or those of the zone's `*` when no name stands in between.
    fn records(&self, zone: &Zone, name: &str) -> Option<&Addresses> {
        if self.exists(name) {
            return self.names.get(name);
        }
        let between = with_parents(name).skip(1).take_while(|n| *n != zone.name).any(|n| self.exists(n));
        if between { None } else { self.names.get(&format!("*.{}", zone.name)) }
    }

    pub(crate) fn addresses(&self, name: &str) -> BTreeSet<IpAddr> {
        let found = self.zone_of(name).and_then(|zone| self.records(&zone, name).map(|found| found.all.clone()));
        found.unwrap_or_default()
    }

    fn answer(&self, name: &str, kind: RecordKind) -> NameAnswer {
        let Some(zone) = self.zone_of(name) else {
            return NameAnswer::NotOurs;
        };
        if matches!(kind, RecordKind::Soa | RecordKind::Ns) && zone.name == name {
            return NameAnswer::Authority(zone);
        }
        let Some(found) = self.records(&zone, name) else {
            return if self.exists(name) { NameAnswer::NoData(zone) } else { NameAnswer::NoName(zone) };
        };
        let asked = |ip: &&IpAddr| match kind {
            RecordKind::A => ip.is_ipv4(),
            RecordKind::Aaaa => ip.is_ipv6(),
            RecordKind::Soa | RecordKind::Ns | RecordKind::Other => false,
        };
        let addresses: BTreeSet<IpAddr> = found.all.iter().filter(asked).copied().collect();
        if addresses.is_empty() {
            NameAnswer::NoData(zone)
        } else {
            NameAnswer::Addresses { ttl: found.ttl, addresses }
        }
    }
}

/// The name, its parent, its parent's parent …
fn with_parents(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, parent)| parent))
}

/// How names are compared: in lower case, without the dot at the end.
pub(crate) fn canonical(fqdn: &str) -> String {
    fqdn.trim_end_matches('.').to_ascii_lowercase()
}

impl Region {
    /// What the region's name servers answer at that time. They keep answering during an outage: MAAS's name server is
    /// a BIND of its own beside the region, which only writes its zone files.
    pub fn look_up(&mut self, now: Timestamp, fqdn: &str, kind: RecordKind) -> NameAnswer {
        self.tick(now);
        self.published.answer(&canonical(fqdn), kind)
    }

    /// Addresses of both families that the region's name servers answer for a name at that time.
    pub fn resolve(&mut self, now: Timestamp, fqdn: &str) -> BTreeSet<IpAddr> {
        self.tick(now);
        self.published.addresses(&canonical(fqdn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: [(&str, u32, &[&str]); 5] = [
        ("api.maas", 10, &["192.0.2.1", "192.0.2.2", "2001:db8::1"]),
        ("four.maas", 30, &["192.0.2.4"]),
        ("*.wild.maas", 7, &["192.0.2.7"]),
        ("solid.wild.maas", 7, &["192.0.2.8"]),
        ("deep.b.a.maas", 30, &["192.0.2.9"]),
    ];

    fn zones() -> Zones {
        let mut zones = Zones::default();
        let ttls = [("maas", 30), ("wild.maas", 60), ("b.a.maas", 5)].map(|(name, ttl)| (name.to_owned(), ttl));
        let names = LISTED.map(|(name, ttl, all)| {
            let all = all.iter().map(|ip| ip.parse().unwrap()).collect();
            (name.to_owned(), Some(Addresses { ttl, all }))
        });
        zones.load("maas".to_owned(), ttls.into(), names.into());
        zones
    }

    /// An answer in short: what, of which zone, TTL, addresses.
    fn short(answer: &NameAnswer) -> String {
        let ttl = answer.ttl().unwrap_or_default();
        match answer {
            NameAnswer::Addresses { addresses, .. } => {
                let list: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
                format!("{ttl} {}", list.join(" "))
            }
            NameAnswer::Authority(zone) => format!("{ttl} authority {} ns {}", zone.name, zone.name_server),
            NameAnswer::NoData(zone) => format!("{ttl} no data {}", zone.name),
            NameAnswer::NoName(zone) => format!("{ttl} no name {}", zone.name),
            NameAnswer::NotOurs => "not ours".to_owned(),
        }
    }

    #[test]
    fn every_question_has_its_answer() {
        use RecordKind::{A, Aaaa, Ns, Other, Soa};
        let zones = zones();
        for (name, kind, expected) in [
            ("api.maas", A, "10 192.0.2.1 192.0.2.2"),
            ("api.maas", Aaaa, "10 2001:db8::1"),
            ("API.Maas.", A, "10 192.0.2.1 192.0.2.2"),
            ("api.maas", Other, "30 no data maas"),
            ("api.maas", Soa, "30 no data maas"),
            ("four.maas", Aaaa, "30 no data maas"),
            ("five.maas", A, "30 no name maas"),
            ("x.api.maas", A, "30 no name maas"),
            ("maas", A, "30 no data maas"),
            ("maas", Soa, "30 authority maas ns maas"),
            ("wild.maas", Ns, "60 authority wild.maas ns maas"),
            ("any.wild.maas", A, "7 192.0.2.7"),
            ("any.thing.wild.maas", A, "7 192.0.2.7"),
            ("any.wild.maas", Aaaa, "60 no data wild.maas"),
            ("solid.wild.maas", A, "7 192.0.2.8"),
            ("x.solid.wild.maas", A, "60 no name wild.maas"),
            ("a.maas", A, "30 no data maas"),
            ("deep.b.a.maas", A, "30 192.0.2.9"),
            ("none.b.a.maas", A, "5 no name b.a.maas"),
            ("notmaas", A, "not ours"),
            ("api.example", A, "not ours"),
            ("", Soa, "not ours"),
        ] {
            assert_eq!(short(&zones.answer(&canonical(name), kind)), expected, "{name} {kind:?}");
        }
    }
}
