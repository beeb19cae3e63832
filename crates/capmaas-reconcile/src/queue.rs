//! The queue: which key is planned next. Synchronous, no I/O, no clock of its own.
//!
//! A key waits for a time and for topics; a report on a topic wakes all keys that wait for it. A key that is woken while it
//! runs runs once more. Ready keys leave in the order in which they were woken.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use crate::names::Key;
use crate::topic::{Topic, Wake};

/// See the module.
#[derive(Debug, Default)]
pub struct Queue {
    ready: VecDeque<Key>,
    queued: BTreeSet<Key>,
    /// value: woken again meanwhile
    running: BTreeMap<Key, bool>,
    waiting: BTreeMap<Key, Wake>,
    by_topic: BTreeMap<Topic, BTreeSet<Key>>,
    by_time: BTreeSet<(Timestamp, Key)>,
}

impl Queue {
    /// Makes a key ready; one that runs will run again.
    pub fn wake(&mut self, key: &Key) {
        if let Some(again) = self.running.get_mut(key) {
            *again = true;
        } else if self.queued.insert(key.clone()) {
            self.ready.push_back(key.clone());
        }
    }

    /// Wakes all keys that wait for `topic`.
    pub fn report(&mut self, topic: &Topic) {
        for key in self.by_topic.get(topic).cloned().unwrap_or_default() {
            self.wake(&key);
        }
    }

    /// Wakes all keys whose time has come.
    pub fn tick(&mut self, now: Timestamp) {
        while let Some((at, key)) = self.by_time.first().cloned() {
            if at > now {
                break;
            }
            self.by_time.pop_first();
            self.wake(&key);
        }
    }

    /// When [`Queue::tick`] has something to do next.
    pub fn next_at(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the next ready key; it runs until [`Queue::done`].
    pub fn pop(&mut self) -> Option<Key> {
        let key = self.ready.pop_front()?;
        self.queued.remove(&key);
        self.running.insert(key.clone(), false);
        Some(key)
    }

    /// The key waits for `wake` now (`None`: the object is gone, forget it).
    pub fn done(&mut self, key: &Key, wake: Option<Wake>) {
        self.forget(key);
        if let Some(wake) = wake {
            for topic in &wake.topics {
                self.by_topic.entry(topic.clone()).or_default().insert(key.clone());
            }
            self.by_time.insert((wake.at, key.clone()));
            self.waiting.insert(key.clone(), wake);
        }
        if self.running.remove(key).unwrap_or(false) {
            self.wake(key);
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(old) = self.waiting.remove(key) {
            self.by_time.remove(&(old.at, key.clone()));
            for topic in &old.topics {
                if let Some(keys) = self.by_topic.get_mut(topic) {
                    keys.remove(key);
                    if keys.is_empty() {
                        self.by_topic.remove(topic);
                    }
                }
            }
        }
    }

    /// The topics somebody waits for: what the feeders have to read.
    pub fn awaited(&self) -> impl Iterator<Item = &Topic> {
        self.by_topic.keys()
    }

    /// Nothing is ready and nothing runs.
    pub fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.running.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::names::Kind;

    fn key(n: u8) -> Key {
        Key::new(Kind::Machine, "default", &format!("m{n}"))
    }

    fn topic(n: u8) -> Topic {
        Topic::Members(crate::names::ObjectName::new("default", format!("c{n}")))
    }

    fn wake(at: i64, topics: &[u8]) -> Wake {
        Wake { at: Timestamp::from_second(at).unwrap(), topics: topics.iter().copied().map(topic).collect() }
    }

    #[test]
    fn a_key_woken_while_it_runs_runs_once_more() {
        let mut queue = Queue::default();
        queue.wake(&key(1));
        assert_eq!(queue.pop(), Some(key(1)));
        queue.wake(&key(1));
        queue.wake(&key(1));
        assert_eq!(queue.pop(), None);
        queue.done(&key(1), Some(wake(10, &[])));
        assert_eq!(queue.pop(), Some(key(1)));
        queue.done(&key(1), Some(wake(10, &[])));
        assert_eq!(queue.pop(), None);
    }

    /// W-34
    #[test]
    fn a_report_wakes_those_who_wait_for_it_and_nobody_else() {
        let mut queue = Queue::default();
        for n in [1, 2, 3] {
            queue.wake(&key(n));
            queue.pop();
            queue.done(&key(n), Some(wake(100, &[n % 2])));
        }
        queue.report(&topic(1));
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(key(1)), Some(key(3)), None));
    }

    #[derive(Clone, Debug)]
    enum Op {
        Wake(u8),
        Report(u8),
        Tick(i64),
        Pop,
        Done(u8, Option<(i64, Vec<u8>)>),
    }

    fn op() -> impl Strategy<Value = Op> {
        let k = 0u8..4;
        prop_oneof![
            k.clone().prop_map(Op::Wake),
            k.clone().prop_map(Op::Report),
            (0i64..50).prop_map(Op::Tick),
            Just(Op::Pop),
            (k, proptest::option::of((0i64..50, proptest::collection::vec(0u8..4, 0..3))))
                .prop_map(|(k, w)| Op::Done(k, w)),
        ]
    }

    proptest! {
        /// No wake-up is lost, no key runs twice at once, and the indexes never outlive what they index.
        #[test]
        fn no_wake_is_lost_and_no_key_runs_twice_at_once(ops in proptest::collection::vec(op(), 0..60)) {
            let mut queue = Queue::default();
            let mut running = BTreeSet::new();
            let mut owed = BTreeSet::new(); // woken and not popped since
            let mut waits: BTreeMap<u8, (i64, Vec<u8>)> = BTreeMap::new();
            for op in ops {
                match op {
                    Op::Wake(k) => { queue.wake(&key(k)); owed.insert(k); }
                    Op::Report(t) => {
                        queue.report(&topic(t));
                        owed.extend(waits.iter().filter(|(_, w)| w.1.contains(&t)).map(|(k, _)| *k));
                    }
                    Op::Tick(now) => {
                        queue.tick(Timestamp::from_second(now).unwrap());
                        for (k, w) in &mut waits {
                            if w.0 <= now { owed.insert(*k); w.0 = i64::MAX; }
                        }
                    }
                    Op::Pop => match queue.pop() {
                        Some(k) => {
                            let n: u8 = k.name.name[1..].parse().unwrap();
                            prop_assert!(running.insert(n), "runs twice");
                            prop_assert!(owed.remove(&n), "popped without a wake");
                        }
                        None => prop_assert!(owed.iter().all(|k| running.contains(k)), "a wake was lost"),
                    },
                    Op::Done(k, w) => if running.remove(&k) {
                        queue.done(&key(k), w.as_ref().map(|(at, topics)| wake(*at, topics)));
                        match w { Some(w) => { waits.insert(k, w); } None => { waits.remove(&k); } }
                    },
                }
                let awaited: BTreeSet<_> = queue.awaited().cloned().collect();
                let wanted: BTreeSet<_> = waits.values().flat_map(|w| w.1.iter().copied().map(topic)).collect();
                prop_assert_eq!(awaited, wanted);
            }
        }
    }
}
