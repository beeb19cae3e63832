use capmaas_reconcile::fleet::Seq;
use capmaas_reconcile::host::HostView;
use capmaas_reconcile::model::host;
use capmaas_reconcile::placement::{Explanation, Rule};
use capmaas_reconcile::stores::{Fact, PoolSight};

use super::*;

fn at(seconds: i64) -> Timestamp {
    "2026-11-23T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

fn id(text: &str) -> SystemId {
    text.parse().unwrap()
}

fn ids(texts: &[&str]) -> BTreeSet<SystemId> {
    texts.iter().map(|text| id(text)).collect()
}

fn hosts(texts: &[&str]) -> BTreeSet<Topic> {
    texts.iter().map(|text| Topic::Host(id(text))).collect()
}

fn with(stores: &mut Stores, name: &str, phase: HostPhase, power: Power) {
    let view = HostView { phase, power, ..host(name, name) };
    let sent = stores.fleet.send();
    stores.learn(Fact::Host(Box::new(view), sent), at(0));
}

/// Answers all that is due and says what that was.
fn run(watcher: &mut Watcher, awaited: &BTreeSet<Topic>, stores: &Stores, now: Timestamp) -> Vec<Query> {
    let due = watcher.due(awaited, stores, now);
    due.queries.iter().for_each(|query| watcher.answered(query, now, true));
    due.queries
}

#[test]
fn nothing_awaited_means_nothing_read() {
    let mut stores = Stores::default();
    with(&mut stores, "abc", HostPhase::Deploying, Power::On);
    let due = Watcher::default().due(&BTreeSet::from([Topic::Region]), &stores, at(0));
    assert_eq!(due, Due { queries: vec![], next: at(600) });
}

#[test]
fn unread_hosts_are_read_at_once_in_batches_of_500() {
    let awaited: BTreeSet<_> = (0..1200).map(|n| Topic::Host(id(&format!("h{n:05}")))).collect();
    let due = Watcher::default().due(&awaited, &Stores::default(), at(0));
    let sizes: Vec<_> = due.queries.iter().map(|q| if let Query::Hosts(ids) = q { ids.len() } else { 0 }).collect();
    assert_eq!(sizes, [500, 500, 200]);
}

#[test]
fn a_host_whose_report_did_not_count_is_not_read_in_a_hot_loop() {
    let (mut watcher, awaited, stores) = (Watcher::default(), hosts(&["abc"]), Stores::default());
    assert_eq!(run(&mut watcher, &awaited, &stores, at(0)).len(), 1);
    let due = watcher.due(&awaited, &stores, at(0));
    assert_eq!((due.queries.len(), due.next), (0, at(1)));
    assert_eq!(watcher.due(&awaited, &stores, at(1)).queries.len(), 1);
    let both = hosts(&["abc", "def"]);
    assert_eq!(watcher.due(&both, &stores, at(0)).queries, [Query::Hosts(ids(&["def"]))], "others do not wait for it");
}

#[test]
fn each_phase_decides_which_list_is_polled() {
    for (phase, power, expected) in [
        (HostPhase::Free, Power::Off, vec![]),
        (HostPhase::Deployed, Power::On, vec![Query::Lost { expected: ids(&[]) }]),
        (HostPhase::Deployed, Power::Unknown, vec![Query::Lost { expected: ids(&["abc"]) }]),
        (HostPhase::Claimed, Power::Off, vec![Query::InFlight { expected: ids(&["abc"]) }]),
        (HostPhase::Deploying, Power::On, vec![Query::InFlight { expected: ids(&["abc"]) }]),
        (HostPhase::DeployFailed, Power::On, vec![Query::InFlight { expected: ids(&["abc"]) }]),
        (HostPhase::Releasing, Power::On, vec![Query::InFlight { expected: ids(&["abc"]) }]),
        (HostPhase::ReleaseFailed, Power::On, vec![Query::InFlight { expected: ids(&["abc"]) }]),
        (HostPhase::Broken, Power::On, vec![Query::InFlight { expected: ids(&["abc"]) }]),
        (HostPhase::Operator, Power::On, vec![Query::InFlight { expected: ids(&["abc"]) }]),
        (HostPhase::Unknown, Power::On, vec![Query::InFlight { expected: ids(&["abc"]) }]),
    ] {
        let mut stores = Stores::default();
        with(&mut stores, "abc", phase, power);
        with(&mut stores, "nobody-waits", HostPhase::Deploying, Power::On);
        assert_eq!(Watcher::default().due(&hosts(&["abc"]), &stores, at(0)).queries, expected, "{phase:?} {power:?}");
    }
}

/// W-36
#[test]
fn a_thousand_hosts_in_flight_cost_one_query_per_twenty_seconds() {
    let mut stores = Stores::default();
    let names: Vec<_> = (0..1000).map(|n| format!("h{n:04}")).collect();
    names.iter().for_each(|name| with(&mut stores, name, HostPhase::Deploying, Power::On));
    let awaited: BTreeSet<_> = names.iter().map(|name| Topic::Host(id(name))).collect();
    let mut watcher = Watcher::default();
    let sent: Vec<_> = (0..60).flat_map(|s| run(&mut watcher, &awaited, &stores, at(s))).collect();
    assert_eq!(sent.len(), 3);
    assert_eq!(watcher.due(&awaited, &stores, at(59)).next, at(60));
}

/// W-35
#[test]
fn the_sweep_reads_all_awaited_hosts_every_ten_minutes_after_the_first_answer() {
    let mut stores = Stores::default();
    for name in ["abc", "def"] {
        with(&mut stores, name, HostPhase::Free, Power::Off);
    }
    let (mut watcher, awaited) = (Watcher::default(), hosts(&["abc", "def", "new"]));
    let sweeps: Vec<_> = (0..1900)
        .filter(|s| run(&mut watcher, &awaited, &stores, at(*s)).contains(&Query::Sweep(ids(&["abc", "def"]))))
        .collect();
    assert_eq!(sweeps, [600, 1200, 1800]);
}

#[test]
fn what_is_missing_is_read_at_once_and_again_after_its_period() {
    let token = Token::mint("1");
    let pool = Constraints::from_iter([Rule::FailureDomain("az1".into())]);
    let name = DnsName { label: "api".into(), domain: "maas".into() };
    for (topic, fact, period) in [
        (Topic::Token(token.clone()), Fact::Token(token, BTreeSet::new(), at(0)), 5),
        (Topic::Pool(pool.clone()), Fact::Pool(pool.clone(), PoolSight::Hosts(BTreeSet::new())), 15),
        (Topic::Free(pool.clone()), Fact::Pool(pool.clone(), PoolSight::Hosts(BTreeSet::new())), 300),
        (Topic::Explanation(pool.clone()), Fact::Explanation(pool.clone(), Explanation::default()), 300),
        (Topic::Hardware(pool.clone()), Fact::Hardware(pool.clone(), BTreeSet::new()), 3600),
        (Topic::Name(name.clone()), Fact::Name(name, None, Seq(1)), 60),
        (Topic::Domains, Fact::Domains(BTreeSet::new()), 60),
        (Topic::Zones, Fact::Zones(BTreeSet::new()), 300),
    ] {
        let (mut watcher, mut stores, awaited) = (Watcher::default(), Stores::default(), BTreeSet::from([topic]));
        let first = watcher.due(&awaited, &stores, at(0));
        assert_eq!((first.queries.len(), first.next), (1, at(period.min(600))), "{awaited:?}");
        watcher.answered(&first.queries[0], at(0), true);
        assert_eq!(watcher.due(&awaited, &stores, at(0)).queries.len(), 1, "forgotten by the stores: at once");
        stores.learn(fact, at(0));
        let waits = watcher.due(&awaited, &stores, at(period - 1));
        assert_eq!((waits.queries.len(), waits.next), (0, at(period)), "{awaited:?}");
        assert_eq!(watcher.due(&awaited, &stores, at(period)).queries, first.queries);
    }
}

#[test]
fn a_pool_that_stays_empty_is_asked_for_less_often_and_at_once_when_a_machine_may_have_joined_it() {
    let wanted = Constraints::from_iter([Rule::FailureDomain("az1".into())]);
    let mut stores = Stores::default();
    let waits = BTreeSet::from([Topic::Pool(wanted.clone()), Topic::Free(wanted.clone())]);
    let mut watcher = Watcher::default();
    let asked = |watcher: &mut Watcher, stores: &mut Stores, from: i64, to: i64| -> Vec<i64> {
        let mut times = Vec::new();
        for second in from..to {
            for query in watcher.due(&waits, stores, at(second)).queries {
                watcher.answered(&query, at(second), true);
                stores.learn(Fact::Pool(wanted.clone(), PoolSight::Hosts(BTreeSet::new())), at(second));
                times.push(second);
            }
        }
        times
    };
    let first = asked(&mut watcher, &mut stores, 0, 600);
    let gaps: Vec<_> = first.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps[..20], [[15; 19].as_slice(), &[60]].concat(), "{first:?}");
    assert!(gaps[20..].iter().all(|gap| *gap == 60), "{first:?}");
    let mut freed = host("abc", "node-abc");
    freed.zone = "az1".into();
    let sent = stores.fleet.send();
    stores.learn(Fact::Host(Box::new(HostView { zone: "az2".into(), ..freed.clone() }), sent), at(601));
    assert_eq!(asked(&mut watcher, &mut stores, 601, 602), Vec::<i64>::new(), "it is in another zone");
    let sent = stores.fleet.send();
    stores.learn(Fact::Host(Box::new(freed), sent), at(602));
    assert_eq!(asked(&mut watcher, &mut stores, 602, 605), [602]);
}

#[test]
fn a_failed_read_backs_off_from_one_second_to_sixty_and_recovers() {
    let (mut watcher, stores, awaited) = (Watcher::default(), Stores::default(), BTreeSet::from([Topic::Zones]));
    let mut now = at(0);
    let mut waits = Vec::new();
    for _ in 0..8 {
        assert_eq!(watcher.due(&awaited, &stores, now).queries, [Query::Zones]);
        watcher.answered(&Query::Zones, now, false);
        let due = watcher.due(&awaited, &stores, now);
        assert!(due.queries.is_empty());
        waits.push((due.next - now).get_seconds());
        now = due.next;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    watcher.answered(&Query::Zones, now, true);
    assert_eq!(watcher.due(&awaited, &stores, now).queries, [Query::Zones], "still missing: no back-off left");
}

#[test]
fn a_batch_that_succeeds_does_not_call_off_the_retry_of_one_that_failed() {
    let mut watcher = Watcher::default();
    let mut stores = Stores::default();
    with(&mut stores, "abc", HostPhase::Free, Power::Off);
    watcher.answered(&Query::Sweep(ids(&["abc"])), at(0), false);
    watcher.answered(&Query::Sweep(ids(&["def"])), at(0), true);
    assert_eq!(watcher.due(&hosts(&["abc"]), &stores, at(0)).next, at(1));
}

#[test]
fn a_machine_that_looks_lost_for_two_minutes_is_asked_for_by_all_claims_and_seldom_again() {
    let mut stores = Stores::default();
    let mut object = capi_types::MaasMachine::default();
    object.metadata.name = Some("m0".into());
    object.metadata.namespace = Some("default".into());
    object.metadata.annotations =
        Some([(capi_types::names::CLAIM_ANNOTATION.to_owned(), "capmaas:1 default/m0".to_owned())].into());
    let name = capmaas_reconcile::names::ObjectName::new("default", "m0");
    stores.learn(Fact::MaasMachine(name, Some(Box::new(object))), at(0));
    stores.learn(Fact::Unmarked(ids(&["abc"])), at(0));
    let (mut watcher, awaited) = (Watcher::default(), BTreeSet::from([Topic::Strays]));
    let mut asked = Vec::new();
    for second in 0..1000 {
        for query in run(&mut watcher, &awaited, &stores, at(second)) {
            match query {
                Query::Unmarked => {}
                Query::Whose { strays, tokens } => {
                    assert_eq!((strays, tokens), (ids(&["abc"]), BTreeSet::from([Token::mint("1")])));
                    stores.learn(Fact::Whose([(id("abc"), None)].into(), at(second)), at(second));
                    asked.push(second);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(asked, [120, 720]);
}
