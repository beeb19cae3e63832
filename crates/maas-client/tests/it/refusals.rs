//! What recorded refusals of a real MAAS are taken for, and the words that are kept of them. The kinds of all are in
//! `tests/kinds.txt`.

use http::{HeaderMap, StatusCode};
use maas_client::operation::{MACHINES_ALLOCATE, ZONES_LIST};
use maas_client::{Error, ErrorKind};

use crate::store::{Recording, recording};

/// Case, kind, and words the message must contain.
const REFUSED: &[(&str, ErrorKind, &str)] = {
    use ErrorKind::*;
    &[
        ("abort/releasing", StateConflict, "Cannot abort in current state"),
        ("allocate/arch-none", Validation, "arch: Architecture not recognised."),
        ("allocate/constraints-two-bad", Validation, "zone: No such zone(s): nope."),
        ("allocate/cpu-count-too-big", NoMatch, "cpu_count=1000.0"),
        ("allocate/interfaces-bad", Validation, "interfaces: Malformed constraint"),
        ("allocate/system-id-not-ready", NoMatch, "No machine with system ID phaqk4 available."),
        ("allocate/system-id-unknown", NoMatch, "zzzzzz"),
        ("allocate/tags-unknown", Validation, "tags: No such tag(s): 'nope'."),
        ("allocate/taken-by-other", NoMatch, "node11"),
        ("allocate/unknown-param", Validation, "nosuchparam: No such constraint."),
        ("broken/deploy-broken", StateConflict, "'Broken'"),
        ("broken/mark-broken-again", Permission, ""),
        ("broken/mark-fixed-ready", StateConflict, "non-broken"),
        ("deploy/already-deployed", StateConflict, "'Deployed'"),
        ("deploy/by-other-user", Permission, ""),
        ("deploy/hwe-kernel-not-available", Validation, "hwe_kernel: hwe-18.04 is not available"),
        ("deploy/install-rackd", Validation, "rackd"),
        ("deploy/new-machine", StateConflict, "'New'"),
        ("deploy/no-ip-left", Unavailable, "No more IPs available in subnet: 10.10.0.0/24."),
        ("deploy/series-unknown", Validation, "distro_series: 'nope' is not a valid distro_series."),
        ("deploy/temporal-down", Server, ""),
        ("dnsresources/create-bad-ip", Server, "300.1.1.1"),
        ("dnsresources/create-bad-name", Validation, "Invalid dnsresource name: bad_name."),
        ("dnsresources/create-duplicate", Validation, "Labels must be unique within their zone."),
        ("dnsresources/create-nonadmin", Permission, "reserved for admin users"),
        ("dnsresources/create-unknown-domain", NotFound, "No Domain matches"),
        ("dnsresources/read-unknown", NotFound, "No DNSResource matches"),
        ("domains/delete-nonempty", Server, "Cannot delete some instances"),
        ("errors/api-1.0", Gone, "2.0"),
        ("errors/bad-consumer", Auth, "consumer part"),
        ("errors/bad-secret", Auth, "secret part of the API key is wrong"),
        ("errors/bad-secret-machines", Auth, "secret part of the API key is wrong"),
        ("errors/basic-auth", Auth, ""),
        ("errors/method-not-allowed", Unsupported, ""),
        ("errors/no-auth-machines", Auth, "Unrecognised signature"),
        ("errors/no-auth-post-machines-allocate", Unsupported, "op=allocate"),
        ("errors/no-trailing-slash-one", WrongEndpoint, "Unknown API endpoint"),
        ("errors/nonce-reused", NonceReplayed, "nonce"),
        ("errors/post-bad-json", Validation, "Bad Request"),
        ("errors/root", WrongEndpoint, "No luck finding that resource."),
        ("errors/signature-method-unknown", Auth, ""),
        ("errors/timestamp-10min-old", ClockSkew, "600 s behind"),
        ("errors/timestamp-not-a-number", Server, "invalid literal"),
        ("errors/unknown-machine", NotFound, "No Machine matches the given query."),
        ("errors/unknown-op-get", Unsupported, "op=nosuch"),
        ("errors/unknown-path", WrongEndpoint, "nosuchthing"),
        ("errors/version-2", Auth, ""),
        ("events/query-limit-too-big", Validation, "1000"),
        ("ipaddresses/reserve-exhausted", Unavailable, "No more IPs"),
        ("ipaddresses/reserve-ip-again", StateConflict, "already in use"),
        ("lock/lock-ready", StateConflict, "Can't lock"),
        ("lock/release-locked", Permission, ""),
        ("machines-list/limit", Validation, "limit: No such constraint."),
        ("machines-list/status-unknown", Validation, "status: Select a valid choice."),
        ("ownerdata/set-not-owned", StateConflict, "hasn't been acquired"),
        ("ownerdata/set-other-user", Permission, ""),
        ("ownerdata/workload-bad-key", Server, "Invalid character in key name"),
        ("power/on-bmc-fails", Server, "BMC never transitioned"),
        ("power/on-new", StateConflict, "hasn't been allocated"),
        ("power/on-no-rack", Unavailable, "rack controller"),
        ("power/query-slow", Unavailable, "TimeoutError"),
        ("put/hostname-taken", Validation, "hostname: Node with this Hostname already exists."),
        ("put/two-bad", Validation, "pool: Select a valid choice."),
        ("release/by-other-user-nonadmin", Permission, ""),
        ("release/commissioning", StateConflict, "'Commissioning'"),
        ("release/rescue", StateConflict, "'Rescue mode'"),
        ("vm-hosts/read-unknown", NotFound, ""),
    ]
};

/// W-37
#[test]
fn every_recorded_refusal_has_its_kind() {
    for (case, kind, words) in REFUSED {
        let Recording { request, response, .. } = recording(case);
        let mut headers = HeaderMap::new();
        for (name, value) in &response.headers {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let write = request.method != "GET";
        let operation = if write { &MACHINES_ALLOCATE } else { &ZONES_LIST };
        let body = response.body.unwrap_or_default();
        let error =
            Error::from_reply(operation, StatusCode::from_u16(response.status).unwrap(), &headers, body.as_bytes());
        assert_eq!(error.kind(), *kind, "{case}: {error:?}");
        assert!(error.message().contains(words), "{case}: {error}");
        assert_eq!(error.is_ambiguous(), write && response.status >= 500, "{case}");
        assert!(!error.message().contains("<p"), "{case}: {error}");
        assert_eq!(
            error.retry_after().map(|wait| wait.as_secs()),
            (*case == "power/on-no-rack").then_some(10),
            "{case}"
        );
    }
}
