//! What is known of the hosts, and when a report counts.
//!
//! Reports overtake each other: a list that was sent before a write was answered may show the world before that write. So each
//! request gets a number when it is sent, and a report counts for a host only if it was sent after the last write on that host was
//! answered and after the last report that counted (design rule 5.8). Absence from a filtered list says nothing; only a query by
//! id does ([`Fleet::gone`]).

use std::collections::BTreeMap;

use capi_types::SystemId;

use crate::host::HostView;

/// The number of a request, in order of sending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seq(pub u64);

/// What is known of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all hosts are seen")]
pub enum HostSight {
    /// Not read yet.
    #[default]
    Unread,
    /// There is no such host.
    Gone,
    /// Read.
    Seen(HostView),
}

#[derive(Clone, Debug, Default)]
struct Entry {
    sight: HostSight,
    read: Seq,
    written: Seq,
    writing: u32,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    hosts: BTreeMap<SystemId, Entry>,
    sent: u64,
}

impl Fleet {
    /// A number for a request that is about to be sent.
    pub fn send(&mut self) -> Seq {
        self.sent += 1;
        Seq(self.sent)
    }

    /// What is known of a host.
    pub fn get(&self, id: &SystemId) -> &HostSight {
        static UNREAD: HostSight = HostSight::Unread;
        self.hosts.get(id).map_or(&UNREAD, |entry| &entry.sight)
    }

    /// All hosts that were seen.
    pub fn seen(&self) -> impl Iterator<Item = &HostView> {
        self.hosts.values().filter_map(|entry| match &entry.sight {
            HostSight::Seen(view) => Some(view),
            HostSight::Unread | HostSight::Gone => None,
        })
    }

    /// A write on this host is about to be sent: reports do not count until it is answered.
    pub fn write_begins(&mut self, id: &SystemId) {
        self.hosts.entry(id.clone()).or_default().writing += 1;
    }

    /// The write was answered (or given up), with the host as the answer showed it. True when the sight changed.
    pub fn write_ends(&mut self, id: &SystemId, answer: Option<HostView>) -> bool {
        let now = self.send();
        let entry = self.hosts.entry(id.clone()).or_default();
        entry.writing = entry.writing.saturating_sub(1);
        entry.written = now;
        match answer {
            Some(view) => replace(&mut entry.sight, HostSight::Seen(view)),
            None => false,
        }
    }

    /// A write on this host had no clear answer: what was known no longer counts, it has to be read again.
    pub fn write_unclear(&mut self, id: &SystemId) -> bool {
        let now = self.send();
        let entry = self.hosts.entry(id.clone()).or_default();
        entry.writing = entry.writing.saturating_sub(1);
        entry.written = now;
        replace(&mut entry.sight, HostSight::Unread)
    }

    /// Somebody else may have written on this host: what was known no longer counts, nor does what is being read right now.
    pub fn doubt(&mut self, id: &SystemId) {
        let now = self.send();
        let entry = self.hosts.entry(id.clone()).or_default();
        entry.written = now;
        entry.sight = HostSight::Unread;
    }

    /// A report from a list or a read that was sent as `sent`. True when the sight changed.
    pub fn report(&mut self, view: HostView, sent: Seq) -> bool {
        let id = view.id.clone();
        self.learn(&id, HostSight::Seen(view), sent)
    }

    /// A query by id that was sent as `sent` did not find the host. True when the sight changed.
    pub fn gone(&mut self, id: &SystemId, sent: Seq) -> bool {
        self.learn(id, HostSight::Gone, sent)
    }

    fn learn(&mut self, id: &SystemId, sight: HostSight, sent: Seq) -> bool {
        let entry = self.hosts.entry(id.clone()).or_default();
        if entry.writing > 0 || sent < entry.written || sent < entry.read {
            return false;
        }
        entry.read = sent;
        replace(&mut entry.sight, sight)
    }
}

fn replace(old: &mut HostSight, new: HostSight) -> bool {
    let changed = *old != new;
    *old = new;
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::host;

    #[test]
    fn a_list_sent_before_a_write_was_answered_does_not_undo_it() {
        let mut fleet = Fleet::default();
        let id: SystemId = "abc123".parse().unwrap();
        let mut before = host("abc123", "node01");
        before.status_name = "Ready".to_owned();
        let mut after = before.clone();
        after.status_name = "Allocated".to_owned();

        let early = fleet.send();
        fleet.write_begins(&id);
        let during = fleet.send();
        assert!(!fleet.report(before.clone(), early), "a write is under way");
        assert!(fleet.write_ends(&id, Some(after.clone())));
        assert!(!fleet.report(before.clone(), during));
        assert_eq!(fleet.get(&id), &HostSight::Seen(after));
        let later = fleet.send();
        assert!(fleet.report(before, later), "a later list counts");
    }

    #[test]
    fn an_older_report_does_not_replace_a_newer_one() {
        let mut fleet = Fleet::default();
        let id: SystemId = "abc123".parse().unwrap();
        let (first, second) = (fleet.send(), fleet.send());
        assert!(fleet.report(host("abc123", "node01"), second));
        assert!(!fleet.gone(&id, first));
        assert!(fleet.gone(&id, second));
    }
}
