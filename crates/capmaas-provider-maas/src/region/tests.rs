use capmaas_reconcile::host::Hardware;
use capmaas_reconcile::placement::Rule;
use http::{HeaderMap, StatusCode};
use maas_client::{
    DnsResource, Domain, MockDnsResources, MockDomains, MockMachines, MockUsers, MockVersions, MockZones, Operation,
    User, Version, Zone, operation as op,
};

use super::*;

/// Services that panic when called; tests put in what they expect.
pub(crate) fn services() -> Services {
    Services {
        machines: Arc::new(MockMachines::new()),
        dns_resources: Arc::new(MockDnsResources::new()),
        domains: Arc::new(MockDomains::new()),
        zones: Arc::new(MockZones::new()),
        users: Arc::new(MockUsers::new()),
        events: Arc::new(maas_client::MockEvents::new()),
        results: Arc::new(maas_client::MockResults::new()),
        tags: Arc::new(maas_client::MockTags::new()),
        boot_resources: Arc::new(maas_client::MockBootResources::new()),
        versions: Arc::new(MockVersions::new()),
    }
}

/// A region whose user is `us`.
pub(crate) fn region(services: Services) -> MaasRegion {
    MaasRegion { services, lanes: Lanes::default(), user: "us".to_owned() }
}

pub(crate) fn with_machines(machines: MockMachines) -> MaasRegion {
    region(Services { machines: Arc::new(machines), ..services() })
}

pub(crate) fn machine(id: &str, status: MachineStatus, owner: Option<&str>) -> Machine {
    Machine {
        system_id: id.parse().unwrap(),
        hostname: format!("node-{id}"),
        status,
        owner: owner.map(str::to_owned),
        ..Default::default()
    }
}

pub(crate) fn answer(operation: &Operation, status: u16, body: &str) -> Error {
    Error::from_reply(operation, StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
}

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

fn ids(texts: &[&str]) -> BTreeSet<SystemId> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Facts in short: `+id` seen, `-id` gone.
fn brief(facts: &[Fact]) -> Vec<String> {
    let one = |fact: &Fact| match fact {
        Fact::Host(view, Seq(7)) => format!("+{}", view.id),
        Fact::HostGone(id, Seq(7)) => format!("-{id}"),
        Fact::Token(_, hits, _) => format!("token {}", hits.len()),
        Fact::Pool(_, PoolSight::Hosts(hosts)) => format!("pool {}", hosts.len()),
        Fact::Pool(_, PoolSight::Refused(message)) => message.clone(),
        Fact::Hardware(_, makes) => {
            let make = |m: &Hardware| format!("{}/{}/{}", m.architecture, m.cpu, m.memory_mib);
            format!("hardware {}", makes.iter().map(make).collect::<Vec<_>>().join(" "))
        }
        Fact::Name(_, addresses, Seq(7)) => format!("name {addresses:?}"),
        Fact::Domains(names) | Fact::Zones(names) => format!("{names:?}"),
        other => panic!("{other:?}"),
    };
    facts.iter().map(one).collect()
}

async fn read(region: &MaasRegion, query: Query) -> Vec<String> {
    brief(&region.read(&query, Seq(7), now()).await.unwrap())
}

/// W-07
#[tokio::test]
async fn hosts_asked_by_id_and_not_answered_are_gone() {
    let mut machines = MockMachines::new();
    machines.expect_list().times(1).returning(|filter| {
        assert_eq!(filter.ids.len(), 2);
        Ok(vec![machine("abc", MachineStatus::Ready, None)])
    });
    assert_eq!(read(&with_machines(machines), Query::Hosts(ids(&["abc", "def"]))).await, ["+abc", "-def"]);
    assert!(read(&region(services()), Query::Sweep(ids(&[]))).await.is_empty(), "no id: no unfiltered list");
}

/// W-36
#[tokio::test]
async fn a_host_missing_in_a_filtered_list_is_confirmed_by_id() {
    for lost in [false, true] {
        let mut machines = MockMachines::new();
        machines.expect_list().times(2).returning(move |filter| {
            if filter.ids.is_empty() {
                assert_eq!(filter.owner, ["us"]);
                assert_eq!(filter.power_state.len(), if lost { 3 } else { 0 });
                return Ok(vec![machine("abc", MachineStatus::Deploying, Some("us"))]);
            }
            assert_eq!(filter.ids.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["def", "fed"]);
            Ok(vec![machine("def", MachineStatus::Deployed, Some("us"))])
        });
        let expected = ids(&["abc", "def", "fed"]);
        let query = if lost { Query::Lost { expected } } else { Query::InFlight { expected } };
        assert_eq!(read(&with_machines(machines), query).await, ["+abc", "+def", "-fed"]);
    }
}

#[tokio::test]
async fn a_token_hit_counts_only_on_a_host_of_ours() {
    let mut machines = MockMachines::new();
    machines.expect_list().returning(|filter| {
        assert_eq!(filter.agent_name, ["capmaas:1"]);
        Ok(vec![
            machine("abc", MachineStatus::Allocated, Some("us")),
            machine("def", MachineStatus::Allocated, Some("them")),
        ])
    });
    assert_eq!(read(&with_machines(machines), Query::Token(Token::mint("1"))).await, ["+abc", "+def", "token 1"]);
}

#[tokio::test]
async fn a_pool_is_one_filtered_list_and_a_refusal_is_a_fact_in_our_terms() {
    let wanted = Constraints::from_iter([
        Rule::FailureDomain("az1".into()),
        Rule::ResourcePool("big".into()),
        Rule::Tag("ssd".into()),
        Rule::Cpu(4),
    ]);
    let mut machines = MockMachines::new();
    machines.expect_list().times(1).returning(|filter| {
        let expected = MachineFilter {
            status: vec![MachineStatus::Ready],
            zone: vec!["az1".into()],
            pool: vec!["big".into()],
            tags: vec!["ssd".into()],
            cpu_count: Some(4),
            ..Default::default()
        };
        assert_eq!(*filter, expected);
        Ok(vec![machine("abc", MachineStatus::Ready, None)])
    });
    machines
        .expect_list()
        .returning(|_| Err(answer(&op::MACHINES_LIST, 400, r#"{"tags": ["No such tag(s): 'ssd'."]}"#)));
    let region = with_machines(machines);
    assert_eq!(read(&region, Query::Pool(wanted.clone())).await, ["+abc", "pool 1"]);
    assert_eq!(read(&region, Query::Pool(wanted)).await, ["spec.tags: No such tag(s): 'ssd'."]);
}

#[tokio::test]
async fn hardware_is_one_list_of_all_that_match_whoever_holds_them_and_each_make_counts_once() {
    let wanted = Constraints::from_iter([Rule::ResourcePool("big".into()), Rule::Cpu(4), Rule::Memory(8192)]);
    let made = |id, status, owner, architecture: &str, cpu_count, memory| Machine {
        architecture: architecture.to_owned(),
        cpu_count,
        memory,
        ..machine(id, status, owner)
    };
    let mut machines = MockMachines::new();
    machines.expect_list().times(1).returning(move |filter| {
        let expected = MachineFilter {
            not_status: vec![MachineStatus::Missing, MachineStatus::Retired],
            pool: vec!["big".into()],
            cpu_count: Some(4),
            mem: Some(8192),
            ..Default::default()
        };
        assert_eq!(*filter, expected);
        Ok(vec![
            made("aaa", MachineStatus::Ready, None, "amd64/generic", 8, 16384),
            made("bbb", MachineStatus::Deployed, Some("them"), "amd64/ga-24.04", 8, 16384),
            made("ccc", MachineStatus::Broken, None, "ppc64el/generic", 4, 65536),
            made("ddd", MachineStatus::Allocated, Some("us"), "armhf/generic", 4, 8192),
            made("eee", MachineStatus::New, None, "amd64/generic", 0, 0),
        ])
    });
    machines
        .expect_list()
        .returning(|_| Err(answer(&op::MACHINES_LIST, 400, r#"{"pool": ["No such pool(s): big."]}"#)));
    let region = with_machines(machines);
    let makes = "hardware /4/8192 amd64/8/16384 ppc64le/4/65536";
    assert_eq!(read(&region, Query::Hardware(wanted.clone())).await, [makes]);
    assert_eq!(read(&region, Query::Hardware(wanted)).await, ["hardware "], "nothing is in a pool that is not there");
}

#[tokio::test]
async fn names_domains_and_zones_are_read() {
    let mut dns = MockDnsResources::new();
    dns.expect_list().times(1).returning(|_| Ok(Vec::<DnsResource>::new()));
    dns.expect_list().returning(|_| Err(answer(&op::DNS_LIST, 404, "No Domain matches the given query.")));
    let (mut domains, mut zones) = (MockDomains::new(), MockZones::new());
    domains.expect_list().returning(|| Ok(vec![Domain { name: "maas".into(), ..Default::default() }]));
    zones.expect_list().returning(|| Ok(vec![Zone { name: "az1".into(), ..Default::default() }]));
    let region = region(Services {
        dns_resources: Arc::new(dns),
        domains: Arc::new(domains),
        zones: Arc::new(zones),
        ..services()
    });
    let name = DnsName { label: "api".into(), domain: "maas".into() };
    assert_eq!(read(&region, Query::Name(name.clone())).await, ["name None"]);
    assert_eq!(read(&region, Query::Name(name)).await, ["name None"], "an unknown domain holds no name either");
    assert_eq!(read(&region, Query::Domains).await, [r#"{"maas"}"#]);
    assert_eq!(read(&region, Query::Zones).await, [r#"{"az1"}"#]);
}

fn greeting(user: Result<User, Error>) -> Services {
    let (mut versions, mut users) = (MockVersions::new(), MockUsers::new());
    versions.expect_read().returning(|| Ok(Version { version: "3.7.3".into(), ..Default::default() }));
    users.expect_whoami().return_once(|| user);
    Services { users: Arc::new(users), versions: Arc::new(versions), ..services() }
}

#[tokio::test]
async fn connecting_tells_who_we_are_or_whether_key_or_time_helps() {
    let user = User { username: "us".into(), is_superuser: true, ..Default::default() };
    let (_, facts) = MaasRegion::connect(greeting(Ok(user))).await.unwrap();
    assert_eq!(facts, RegionFacts { user: "us".into(), is_admin: true, version: "3.7.3".into() });

    for (status, body, kind, said) in [
        (
            401,
            "Invalid signature. Expected signature base string: &t0psecret",
            ConnectErrorKind::Refused,
            "MAAS_API_KEY",
        ),
        (403, "", ConnectErrorKind::Refused, "active user"),
        (401, "Expired timestamp: given 1 and now 1000 has a greater difference", ConnectErrorKind::Down, "clocks"),
        (404, "<html>nginx</html>", ConnectErrorKind::Down, "MAAS_ENDPOINT"),
        (502, "<html>Bad gateway</html>", ConnectErrorKind::Down, "Bad gateway"),
    ] {
        let error = MaasRegion::connect(greeting(Err(answer(&op::USERS_WHOAMI, status, body)))).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(said) && !error.to_string().contains("t0psecret"), "{error}");
    }
}

/// A region in which each machine is allocated under a claim; answers lists that ask for ids and claims, and counts them.
fn claimed(claims: &'static [(&'static str, &'static str)], asked: Arc<std::sync::atomic::AtomicUsize>) -> MaasRegion {
    let mut machines = MockMachines::new();
    machines.expect_list().returning(move |filter| {
        asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        assert!(!filter.ids.is_empty() && filter.agent_name.len() <= 100, "{filter:?}");
        let fits = |(id, claim): &&(&str, &str)| {
            filter.ids.iter().any(|i| i.as_str() == *id) && filter.agent_name.iter().any(|a| a == claim)
        };
        Ok(claims.iter().filter(fits).map(|(id, _)| machine(id, MachineStatus::Allocated, Some("us"))).collect())
    });
    with_machines(machines)
}

#[tokio::test]
async fn whose_a_lost_machine_is_is_found_among_many_claims_with_few_questions() {
    let claims: &[_] = &[("abc123", "capmaas:7"), ("def456", "capmaas:199"), ("ghi789", "somebody")];
    let tokens: BTreeSet<Token> = (0..250).map(|n| Token::mint(&n.to_string())).collect();
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let region = claimed(claims, asked.clone());
    let query = Query::Whose { strays: ids(&["abc123", "def456", "ghi789"]), tokens };
    let facts = region.read(&query, Seq(7), now()).await.unwrap();
    let [Fact::Whose(owners, _)] = &facts[..] else { panic!("{facts:?}") };
    let owners: Vec<_> = owners.iter().map(|(id, t)| (id.as_str(), t.as_ref().map(Token::as_str))).collect();
    assert_eq!(owners, [("abc123", Some("capmaas:7")), ("def456", Some("capmaas:199")), ("ghi789", None)]);
    let asked = asked.load(std::sync::atomic::Ordering::Relaxed);
    assert!(asked <= 40, "{asked} questions for 250 claims");
}

#[tokio::test]
async fn only_allocated_machines_of_our_user_without_marks_look_lost() {
    let mut machines = MockMachines::new();
    machines.expect_list().returning(|filter| {
        assert_eq!((&filter.owner[..], &filter.status[..]), (&["us".to_owned()][..], &[MachineStatus::Allocated][..]));
        let mut marked = machine("def456", MachineStatus::Allocated, Some("us"));
        marked.owner_data.insert("capmaas-token".to_owned(), "capmaas:1".to_owned());
        Ok(vec![machine("abc123", MachineStatus::Allocated, Some("us")), marked])
    });
    let facts = with_machines(machines).read(&Query::Unmarked, Seq(7), now()).await.unwrap();
    assert!(matches!(&facts[2], Fact::Unmarked(lost) if *lost == ids(&["abc123"])), "{facts:?}");
}

#[tokio::test]
async fn a_story_is_told_as_far_as_maas_tells_it_and_a_refusal_is_an_empty_one() {
    let (mut events, mut results) = (maas_client::MockEvents::new(), maas_client::MockResults::new());
    events.expect_query().returning(|_| Err(answer(&op::EVENTS_QUERY, 500, "oops")));
    results.expect_read().returning(|_, _, _| {
        let failed = maas_client::ScriptResult {
            status: 3.into(),
            output: maas_client::ScriptOutput(b"a\n\nno space left on device\n".to_vec()),
            ..Default::default()
        };
        Ok(maas_client::ScriptSet { results: vec![Default::default(), failed], ..Default::default() })
    });
    let region = region(Services { events: Arc::new(events), results: Arc::new(results), ..services() });
    let facts = region.read(&Query::Story("abc123".parse().unwrap()), Seq(7), now()).await.unwrap();
    let [Fact::Story(_, story)] = &facts[..] else { panic!("{facts:?}") };
    assert_eq!((story.errors.len(), story.log_tail.as_str()), (0, "a | no space left on device"));
}
