use http::{HeaderMap, StatusCode};
use maas_client::{DnsAddress, DnsRecord, MockDnsResources, Operation, operation};
use mockall::predicate::eq;

use super::*;

fn name() -> DnsName {
    DnsName::new("api", "lab.example").unwrap()
}

fn set(addresses: &[&str]) -> BTreeSet<IpAddr> {
    addresses.iter().map(|text| text.parse().unwrap()).collect()
}

/// A resource as MAAS answers it; an address of `""` is the row of a released machine.
fn resource(id: i64, addresses: &[&str], ttl: Option<u32>) -> DnsResource {
    DnsResource {
        id: DnsResourceId(id),
        fqdn: "api.lab.example".into(),
        address_ttl: ttl,
        ip_addresses: addresses.iter().map(|text| DnsAddress { ip: text.parse().ok(), ..Default::default() }).collect(),
        ..Default::default()
    }
}

fn with_txt(mut resource: DnsResource) -> DnsResource {
    resource.resource_records = vec![DnsRecord { rrtype: "TXT".into(), rrdata: "keep me".into(), system_id: None }];
    resource
}

fn maas_error(operation: &Operation, status: u16, text: &str) -> maas_client::Error {
    let status = StatusCode::from_u16(status).unwrap();
    maas_client::Error::from_reply(operation, status, &HeaderMap::new(), text.as_bytes())
}

/// A MAAS that lists these resources. Every write not expected afterwards fails the test.
fn listing(resources: Vec<DnsResource>) -> MockDnsResources {
    let mut maas = MockDnsResources::new();
    maas.expect_list().withf(|filter| filter.name.as_ref() == Some(&name())).times(1).return_once(|_| Ok(resources));
    maas
}

fn expect_update(maas: &mut MockDnsResources, id: i64, addresses: &'static [&'static str], ttl: Option<u32>) {
    maas.expect_update_addresses()
        .with(eq(DnsResourceId(id)), eq(set(addresses)), eq(ttl))
        .times(1)
        .returning(move |_, _, _| Ok(resource(id, addresses, ttl)));
}

fn expect_delete(maas: &mut MockDnsResources, id: i64) {
    maas.expect_delete().with(eq(DnsResourceId(id))).times(1).returning(|_| Ok(()));
}

/// W-22
#[tokio::test]
async fn a_name_that_is_right_already_is_not_written() {
    for (present, wanted, ttl) in [
        (&["10.0.0.1", "10.0.0.2"][..], &["10.0.0.2", "10.0.0.1"][..], Some(30)),
        (&["10.0.0.1"], &["10.0.0.1"], None),
        (&[], &[], Some(30)),
        (&["2001:db8::1"], &["2001:0db8:0::1"], Some(30)),
    ] {
        let maas = listing(vec![resource(7, present, Some(30))]);
        let outcome = ensure(&maas, &name(), &set(wanted), ttl).await.unwrap();
        assert!(!outcome.written, "{present:?}");
        assert_eq!(outcome.resource.id, DnsResourceId(7));
    }
}

#[tokio::test]
async fn a_difference_of_set_ttl_or_dormant_row_puts_the_complete_list() {
    for (present, wanted) in [
        (resource(7, &["10.0.0.1"], Some(30)), &["10.0.0.1", "10.0.0.2"][..]),
        (resource(7, &["10.0.0.1", "10.0.0.2"], Some(30)), &["10.0.0.2"]),
        (resource(7, &["10.0.0.1"], Some(30)), &[]),
        (resource(7, &["10.0.0.1"], Some(300)), &["10.0.0.1"]),
        (resource(7, &["10.0.0.1"], None), &["10.0.0.1"]),
        (resource(7, &["10.0.0.1", ""], Some(30)), &["10.0.0.1"]),
    ] {
        let mut maas = listing(vec![present]);
        expect_update(&mut maas, 7, wanted, Some(30));
        let outcome = ensure(&maas, &name(), &set(wanted), Some(30)).await.unwrap();
        assert!(outcome.written);
        assert_eq!(outcome.resource.addresses(), set(wanted));
    }
}

#[tokio::test]
async fn a_missing_name_is_created_with_its_set_even_if_that_is_empty() {
    for wanted in [&["10.0.0.1", "10.0.0.2"][..], &[]] {
        let mut maas = listing(vec![]);
        maas.expect_create()
            .withf(move |request| request.name == name() && request.addresses == set(wanted) && request.ttl == Some(30))
            .times(1)
            .returning(move |_| Ok(resource(9, wanted, Some(30))));
        let outcome = ensure(&maas, &name(), &set(wanted), Some(30)).await.unwrap();
        assert!(outcome.written);
        assert_eq!(outcome.resource.id, DnsResourceId(9));
    }
}

#[tokio::test]
async fn entries_of_machines_and_other_names_do_not_count() {
    let mut other = resource(3, &["10.0.0.9"], None);
    other.fqdn = "api.other.example".into();
    let found = vec![resource(-1, &["10.0.0.8"], None), other];
    assert_eq!(read(&listing(found), &name()).await.unwrap(), None);
}

#[tokio::test]
async fn duplicates_are_merged_into_the_lowest_id() {
    let mut maas = listing(vec![
        resource(8, &["10.0.0.2"], None),
        resource(5, &["10.0.0.1"], None),
        with_txt(resource(9, &["10.0.0.3"], None)),
        resource(12, &[], None),
    ]);
    expect_update(&mut maas, 5, &["10.0.0.1", "10.0.0.2"], None);
    expect_update(&mut maas, 8, &[], None);
    expect_delete(&mut maas, 8);
    expect_update(&mut maas, 9, &[], None);
    maas.expect_delete()
        .with(eq(DnsResourceId(12)))
        .times(1)
        .returning(|_| Err(maas_error(&operation::DNS_DELETE, 404, "No DNSResource matches the given query.")));
    let outcome = ensure(&maas, &name(), &set(&["10.0.0.1", "10.0.0.2"]), None).await.unwrap();
    assert!(outcome.written);
    assert_eq!(outcome.resource.id, DnsResourceId(5));
}

#[tokio::test]
async fn reading_joins_duplicates_and_knows_the_lowest_id() {
    let maas = listing(vec![resource(8, &["10.0.0.2"], Some(5)), resource(5, &["10.0.0.1", ""], Some(30))]);
    let published = read(&maas, &name()).await.unwrap().unwrap();
    assert_eq!(published.ids, [DnsResourceId(5), DnsResourceId(8)]);
    assert_eq!(published.addresses, set(&["10.0.0.1", "10.0.0.2"]));
    assert_eq!(published.ttl, Some(30));
}

#[tokio::test]
async fn removing_deletes_but_keeps_foreign_records_and_may_be_repeated() {
    let mut maas = listing(vec![resource(5, &["10.0.0.1"], None)]);
    expect_update(&mut maas, 5, &[], None);
    expect_delete(&mut maas, 5);
    assert!(remove(&maas, &name()).await.unwrap());

    let mut maas = listing(vec![with_txt(resource(5, &["10.0.0.1"], None))]);
    expect_update(&mut maas, 5, &[], None);
    assert!(remove(&maas, &name()).await.unwrap());

    assert!(!remove(&listing(vec![with_txt(resource(5, &[], None))]), &name()).await.unwrap());
    assert!(!remove(&listing(vec![]), &name()).await.unwrap());
}

#[tokio::test]
async fn an_unknown_domain_is_named_and_nothing_to_remove() {
    let missing = || {
        let mut maas = MockDnsResources::new();
        maas.expect_list()
            .returning(|_| Err(maas_error(&operation::DNS_LIST, 404, "No Domain matches the given query.")));
        maas
    };
    let error = ensure(&missing(), &name(), &set(&["10.0.0.1"]), None).await.unwrap_err();
    assert!(matches!(&error, Error::UnknownDomain { domain, .. } if domain == "lab.example"));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!remove(&missing(), &name()).await.unwrap());
}

#[tokio::test]
async fn a_key_without_admin_rights_shows_as_permission() {
    let mut maas = listing(vec![]);
    maas.expect_create()
        .returning(|_| Err(maas_error(&operation::DNS_CREATE, 403, "This method is reserved for admin users.")));
    let error = ensure(&maas, &name(), &set(&["10.0.0.1"]), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission);
    assert!(error.to_string().contains("api.lab.example"), "{error}");
}
