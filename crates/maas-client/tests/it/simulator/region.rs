//! Everything that is not a machine's: names, places, networks, images, people.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::net::IpAddr;

use maas_client::*;

use super::Lab;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) async fn names(lab: &Lab) -> Result<()> {
    let domains = lab.client.domains();
    let made = domains.create(&CreateDomain { name: "lab.example".into(), ..Default::default() }).await?.id;
    assert_eq!(domains.list().await?.len(), 3);
    let ttl = UpdateDomain { ttl: Some("60".into()), ..Default::default() };
    assert_eq!(domains.update(made, &ttl).await?.ttl, Some(60));
    assert!(domains.set_default(made).await?.is_default);

    let (dns, name) = (lab.client.dns_resources(), DnsName::new("api", "lab.example").unwrap());
    let addresses = BTreeSet::from([ip("10.10.0.70"), ip("10.10.0.71")]);
    let request = CreateDnsResource { name: name.clone(), addresses: addresses.clone(), ttl: Some(10) };
    let resource = dns.create(&request).await?.id;
    assert_eq!(dns.list(&DnsFilter::by_name(name)).await?[0].addresses(), addresses);
    dns.update_addresses(resource, &BTreeSet::new(), None).await?;
    assert!(dns.read(resource).await?.addresses().is_empty());
    dns.delete(resource).await?;

    let records = lab.client.dns_records();
    let request = CreateDnsRecord {
        fqdn: Some("note.lab.example".into()),
        rrtype: "TXT".into(),
        rrdata: "one".into(),
        ..Default::default()
    };
    let record = records.create(&request).await?.id;
    assert_eq!(records.list(&DnsRecordFilter::default()).await?.len(), 1);
    records.update(record, &UpdateDnsRecord { rrdata: Some("two".into()), ..Default::default() }).await?;
    assert_eq!(records.read(record).await?.rrdata, "two");
    records.delete(record).await?;

    let first = domains.list().await?.into_iter().find(|domain| domain.name == "maas").unwrap().id;
    domains.set_default(first).await?;
    assert_eq!(domains.read(made).await?.resource_record_count, 0);
    domains.delete(made).await
}

pub(super) async fn places(lab: &Lab) -> Result<()> {
    let place = |name: &str| CreatePlace { name: name.into(), description: Some("a place".into()) };
    let told = UpdatePlace { name: None, description: Some("another".into()) };
    let zones = lab.client.zones();
    zones.create(&place("attic")).await?;
    zones.update("attic", &told).await?;
    assert_eq!(zones.read("attic").await?.description, "another");
    zones.delete("attic").await?;
    assert!(zones.list().await?.iter().all(|zone| zone.name != "attic"));
    let pools = lab.client.pools();
    pools.create(&place("attic")).await?;
    pools.update("attic", &told).await?;
    assert_eq!(pools.read("attic").await?.description, "another");
    pools.delete("attic").await?;
    assert_eq!(pools.list().await?.len(), 1);
    let (tags, id) = (lab.client.tags(), lab.machine("node01"));
    tags.create(&CreateTag { name: "sick".into(), ..Default::default() }).await?;
    tags.update("sick", &UpdateTag { comment: Some("do not use".into()), ..Default::default() }).await?;
    let members = TagMembers { add: vec![id.clone()], ..Default::default() };
    assert_eq!(tags.update_machines("sick", &members).await?.added, 1);
    assert_eq!(tags.machines("sick").await?[0].system_id, id);
    assert_eq!(tags.read("sick").await?.comment, "do not use");
    assert_eq!(tags.list().await?.len(), 1);
    tags.delete("sick").await
}

pub(super) async fn networks(lab: &Lab) -> Result<()> {
    let (fabrics, vlans) = (lab.client.fabrics(), lab.client.vlans());
    let named = |name: &str| FabricRequest { name: Some(name.into()), ..Default::default() };
    let fabric = fabrics.create(&named("spine")).await?.id;
    fabrics.update(fabric, &named("leaf")).await?;
    assert_eq!(fabrics.read(fabric).await?.name, "leaf");
    assert_eq!(fabrics.list().await?.len(), 2);
    let vlan = vlans.create(fabric, &CreateVlan { vid: 20, ..Default::default() }).await?.id;
    assert_eq!(vlans.list(fabric).await?.len(), 2);
    assert_eq!(vlans.find(fabric, 20).await?.id, vlan);
    vlans.update(vlan, &UpdateVlan { mtu: Some(9000), ..Default::default() }).await?;
    assert_eq!(vlans.read(vlan).await?.mtu, 9000);

    let spaces = lab.client.spaces();
    let described = |text: &str| SpaceRequest { name: Some("storage".into()), description: Some(text.into()) };
    let space = spaces.create(&described("one")).await?.id;
    spaces.update(space, &described("two")).await?;
    assert_eq!(spaces.read(space).await?.description, "two");
    assert!(spaces.list().await?.iter().any(|known| known.id == space));
    spaces.delete(space).await?;

    let subnets = lab.client.subnets();
    let request = CreateSubnet { cidr: "10.77.0.0/24".into(), vlan: Some(vlan), ..Default::default() };
    let made = SubnetKey::from(subnets.create(&request).await?.id);
    let gateway = UpdateSubnet { gateway_ip: Some("10.77.0.1".into()), ..Default::default() };
    subnets.update(&made, &gateway).await?;
    assert_eq!(subnets.read(&made).await?.gateway_ip, Some(ip("10.77.0.1")));
    assert_eq!(subnets.list().await?.len(), 2);
    assert_eq!(subnets.statistics(&made).await?.num_unavailable, 1);
    assert_eq!(subnets.reserved_ranges(&made).await?[0].start, Some(ip("10.77.0.1")));
    assert_eq!(subnets.free_ranges(&made).await?[0].end, Some(ip("10.77.0.254")));
    routes(lab, &made).await?;
    subnets.delete(&made).await?;
    vlans.delete(vlan).await?;
    fabrics.delete(fabric).await
}

async fn routes(lab: &Lab, to: &SubnetKey) -> Result<()> {
    let routes = lab.client.static_routes();
    let request = StaticRouteRequest {
        source: Some("lab-net".into()),
        destination: Some(to.clone()),
        gateway_ip: Some(ip("10.10.0.1")),
        metric: None,
    };
    let made = routes.create(&request).await?.id;
    routes.update(made, &StaticRouteRequest { metric: Some(7), ..Default::default() }).await?;
    assert_eq!(routes.read(made).await?.metric, 7);
    assert_eq!(routes.list().await?.len(), 1);
    routes.delete(made).await
}

pub(super) async fn addresses(lab: &Lab) -> Result<()> {
    let own = lab.client.ip_addresses();
    let taken = own.reserve(&ReserveIp { ip: Some(ip("10.10.0.90")), ..Default::default() }).await?;
    assert_eq!(taken.ip, Some(ip("10.10.0.90")));
    assert!(own.list(&IpAddressFilter::default()).await?.contains(&taken));
    own.release(&ReleaseIp { ip: taken.ip, ..Default::default() }).await?;

    let ranges = lab.client.ip_ranges();
    let request = CreateIpRange {
        kind: IpRangeKind::Reserved,
        start_ip: "10.10.1.1".into(),
        end_ip: "10.10.1.9".into(),
        ..Default::default()
    };
    let range = ranges.create(&request).await?.id;
    ranges.update(range, &UpdateIpRange { end_ip: Some(ip("10.10.1.19")), ..Default::default() }).await?;
    assert_eq!(ranges.read(range).await?.end_ip, Some(ip("10.10.1.19")));
    assert_eq!(ranges.list().await?.len(), 3);
    ranges.delete(range).await?;

    let pinned = lab.client.reserved_ips();
    let request = CreateReservedIp {
        ip: "10.10.0.91".into(),
        mac_address: Some("52:54:00:dd:00:01".into()),
        ..Default::default()
    };
    let made = pinned.create(&request).await?.id;
    pinned.update(made, &UpdateReservedIp { comment: Some("printer".into()) }).await?;
    assert_eq!(pinned.read(made).await?.comment, "printer");
    assert_eq!(pinned.list().await?.len(), 1);
    pinned.delete(made).await
}

pub(super) async fn images(lab: &Lab) -> Result<()> {
    let images = lab.client.boot_resources();
    let before = images.list().await?.len();
    let request = UploadImage { name: "mine".into(), architecture: "amd64/generic".into(), ..Default::default() };
    let mut bytes = Cursor::new(vec![7; 5_000_000]);
    let made = images.upload(&request, &mut bytes, |_, _| {}).await.unwrap();
    assert!(made.sets.values().all(|version| version.complete));
    assert_eq!(images.read(made.id).await?.name, "mine");
    assert!(images.list_of(&ImageKind::Uploaded).await?.iter().any(|image| image.id == made.id));
    images.delete(made.id).await?;
    assert_eq!(images.list().await?.len(), before);
    images.import().await?;
    images.is_importing().await?;
    images.stop_import().await?;
    Ok(())
}

pub(super) async fn people(lab: &Lab) -> Result<()> {
    let users = lab.client.users();
    assert!(users.whoami().await?.is_superuser);
    let request = CreateUser {
        username: "bob".into(),
        email: "bob@lab.example".into(),
        password: "x".into(),
        is_superuser: false,
    };
    users.create(&request).await?;
    assert_eq!(users.read("bob").await?.email, "bob@lab.example");
    users.delete("bob", &DeleteUser { transfer_resources_to: Some("admin".into()) }).await?;
    assert_eq!(users.list().await?.len(), 2);

    let keys = lab.client.ssh_keys();
    let made = keys.create(&CreateSshKey { key: "ssh-ed25519 AAAA me".into() }).await?.id;
    assert_eq!(keys.import(&ImportSshKeys { keysource: "gh:me".into() }).await?[0].keysource, "gh:me");
    assert_eq!(keys.read(made).await?.key, "ssh-ed25519 AAAA me");
    keys.delete(made).await?;
    assert_eq!(keys.list().await?.len(), 1);

    let account = lab.client.account();
    assert_eq!(account.create_key(&CreateKey { name: Some("robot".into()) }).await?.name, "robot");
    // a key that MAAS made does not show its parts; of this one they are known
    lab.region.with(|region, _| region.add_api_key("admin", "Consumer:Token:Secret")).unwrap();
    account.rename_key(&RenameKey { token: "Token".into(), name: "android".into() }).await?;
    let names = |keys: Vec<NamedKey>| keys.into_iter().map(|key| key.name).collect::<Vec<_>>();
    assert_eq!(names(account.list_keys().await?), ["MAAS consumer", "robot", "android"]);
    account.delete_key(&DeleteKey { token_key: "Token".into() }).await
}

pub(super) async fn the_rest(lab: &Lab) -> Result<()> {
    assert_eq!(lab.client.version().read().await?.major_minor(), Some((3, 7)));
    let notices = lab.client.notifications();
    let text = |text: &str| CreateNotification { message: Some(text.into()), ..Default::default() };
    let made = notices.create(&text("hello")).await?.id;
    notices.update(made, &text("good bye")).await?;
    assert_eq!(notices.read(made).await?.message, "good bye");
    let before = notices.list().await?.len();
    notices.dismiss(made).await?;
    let again = notices.create(&text("hello")).await?.id;
    notices.delete(again).await?;
    assert_eq!(notices.list().await?.len(), before - 1);
    let config = lab.client.config();
    config.set(&SetConfig { name: "maas_name".into(), value: "lab".into() }).await?;
    assert_eq!(config.get(&ConfigName { name: "maas_name".into() }).await?, "lab");
    assert!(!lab.client.events().query(&EventFilter::default()).await?.is_empty());
    Ok(())
}
