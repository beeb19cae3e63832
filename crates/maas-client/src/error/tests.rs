use super::*;
use crate::operation;

fn reply(operation: &Operation, status: u16, headers: &[(&'static str, &str)], body: &str) -> Error {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    Error::from_reply(operation, StatusCode::from_u16(status).unwrap(), &map, body.as_bytes())
}

/// All that can be printed of an error, its sources included.
fn everything(error: &Error) -> String {
    let chain = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    chain.map(|error| format!("{error} {error:?} {error:#?}\n")).collect()
}

/// W-41
#[test]
fn a_401_never_carries_its_body() {
    for body in [
        "Authorization Error: 'Invalid signature. Expected signature base string: &TheRealSecret'",
        "something new: &TheRealSecret",
        "<html><p>TheRealSecret</p></html>",
        "{\"detail\": [\"TheRealSecret\"]}",
        "Authorization Error: 'Expired timestamp: given 1 and now TheRealSecret has'",
        "Authorization Error: 'Invalid access token: TheRealSecret'",
    ] {
        let error = reply(&operation::ZONES_LIST, 401, &[], body);
        assert!(!everything(&error).contains("TheRealSecret"), "{error:?}");
        assert!(error.fields().is_empty());
        assert_eq!(error.kind(), ErrorKind::Auth);
        assert!(!error.is_retryable());
    }
    let leaked = reply(&operation::ZONES_LIST, 500, &[], "oops: Expected signature base string: &TheRealSecret");
    assert!(!everything(&leaked).contains("TheRealSecret"));
}

#[test]
fn clock_skew_is_measured() {
    let body =
        "Authorization Error: 'Expired timestamp: given 100 and now 700 has a greater difference than threshold 300'";
    let error = reply(&operation::ZONES_LIST, 401, &[], body);
    assert_eq!(error.kind(), ErrorKind::ClockSkew);
    assert_eq!(error.clock_skew(), Some(ClockSkew { ours: 100, theirs: 700 }));
    assert!(error.to_string().contains("600 s behind"), "{error}");
}

#[test]
fn only_proven_roll_backs_and_repeatable_calls_are_retryable_and_the_rest_of_5xx_is_ambiguous() {
    use operation::{MACHINE_DEPLOY, MACHINE_RELEASE, MACHINES_ALLOCATE, MACHINES_LIST};
    let after = &[("retry-after", "5")][..];
    for (operation, status, headers, kind, retryable, ambiguous) in [
        (&MACHINES_ALLOCATE, 409, after, ErrorKind::TransientConflict, true, false),
        (&MACHINES_ALLOCATE, 500, &[], ErrorKind::Server, false, true),
        (&MACHINES_ALLOCATE, 502, &[], ErrorKind::Unavailable, false, true),
        (&MACHINES_ALLOCATE, 504, after, ErrorKind::Unavailable, false, true),
        (&MACHINE_DEPLOY, 503, after, ErrorKind::Unavailable, false, true),
        (&MACHINE_RELEASE, 503, after, ErrorKind::Unavailable, true, true),
        (&MACHINE_RELEASE, 503, &[], ErrorKind::Unavailable, false, true),
        (&MACHINE_RELEASE, 500, &[], ErrorKind::Server, false, true),
        (&MACHINES_LIST, 500, &[], ErrorKind::Server, true, false),
        (&MACHINES_LIST, 503, &[], ErrorKind::Unavailable, true, false),
        (&MACHINES_LIST, 409, &[], ErrorKind::StateConflict, false, false),
        (&MACHINES_LIST, 413, &[], ErrorKind::TooLarge, false, false),
    ] {
        let error = reply(operation, status, headers, "");
        assert_eq!(error.kind(), kind, "{error:?}");
        assert_eq!(error.is_retryable(), retryable, "{error:?}");
        assert_eq!(error.is_ambiguous(), ambiguous, "{error:?}");
    }
}

/// A layer that wraps what it got from below.
#[derive(Debug, thiserror::Error)]
#[error("gate")]
struct Gate(#[source] NotSent);

#[test]
fn transport_failures_before_sending_are_safe_to_repeat_and_later_ones_are_not() {
    let allocate = &operation::MACHINES_ALLOCATE;
    let refused = Error::transport(allocate, NotSent("refused".into()).into());
    assert!(refused.is_retryable() && !refused.is_ambiguous());
    let wrapped = Error::transport(allocate, Gate(NotSent("refused".into())).into());
    assert!(wrapped.is_retryable() && !wrapped.is_ambiguous());
    let reset = Error::transport(allocate, "reset".into());
    assert!(!reset.is_retryable() && reset.is_ambiguous());
    let late = Error::timed_out(allocate, Duration::from_secs(120));
    assert!(!late.is_retryable() && late.is_ambiguous());
    let late = Error::timed_out(&operation::MACHINES_LIST, Duration::from_secs(120));
    assert!(late.is_retryable() && !late.is_ambiguous());
    let ours = Error::invalid_request(allocate, "no");
    assert!(!ours.is_retryable() && !ours.is_ambiguous());
}

/// W-36
#[test]
fn a_404_that_is_not_maas_speaking_of_an_object_is_no_proof_of_absence() {
    let html = &[("content-type", "text/html")][..];
    let text = &[("content-type", "text/plain")][..];
    for (headers, body, kind) in [
        (text, "No Machine matches the given query.", ErrorKind::NotFound),
        (text, "Not Found", ErrorKind::NotFound),
        (html, "<html><head><title>404 Not Found</title></head></html>", ErrorKind::WrongEndpoint),
        (html, "Not Found", ErrorKind::WrongEndpoint),
        (text, "Unknown API endpoint: /MAAS/api/2.0/machines.", ErrorKind::WrongEndpoint),
        (text, "", ErrorKind::WrongEndpoint),
        (text, "The IP address 10.0.0.1 is already in use.", ErrorKind::StateConflict),
    ] {
        assert_eq!(reply(&operation::MACHINE_READ, 404, headers, body).kind(), kind, "{body}");
    }
}

#[test]
fn pages_are_reduced_to_their_words() {
    let page = "<!DOCTYPE html>\n<html><head><title>Conflict</title><style>p {color: red}</style></head>\n\
        <body><h1>Conflict</h1>\n<p>The server\n  is busy</p><script>track()</script></body></html>";
    let error = reply(&operation::MACHINES_ALLOCATE, 409, &[("retry-after", "5")], page);
    assert_eq!(error.message(), "Conflict Conflict The server is busy");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(5)));
    assert_eq!(error.to_string(), "machines.allocate: Conflict Conflict The server is busy (409)");
    for odd in ["<", "<a", "a<b>c", "<style>x", "<é>ü", "</p>"] {
        assert!(!html_text(odd).contains("style"), "{odd}");
    }
}

#[test]
fn words_are_kept_by_field_and_in_one_line() {
    let body = r#"{"zone": ["No such zone(s): nope."], "__all__": ["a", "b"], "n": 5}"#;
    let error = reply(&operation::MACHINES_ALLOCATE, 400, &[], body);
    assert_eq!(error.kind(), ErrorKind::Validation);
    assert_eq!(error.fields()["zone"], ["No such zone(s): nope."]);
    assert_eq!(error.message(), "a b; n: 5; zone: No such zone(s): nope.");
    let list = reply(&operation::MACHINES_ALLOCATE, 400, &[], r#"["one", "two"]"#);
    assert_eq!(list.message(), "one two");
    let long = reply(&operation::MACHINES_ALLOCATE, 500, &[], &"é".repeat(100_000));
    assert_eq!(long.message().chars().count(), TEXT_LIMIT + 1);
}

#[test]
fn every_kind_says_what_helps() {
    let machine_states =
        reply(&operation::MACHINE_RELEASE, 409, &[], "Machine cannot be released in its current state ('New').");
    assert_eq!(machine_states.disposition(), Disposition::Waiting);
    let none = reply(&operation::MACHINES_ALLOCATE, 409, &[], "No machine available.");
    assert_eq!((none.kind(), none.disposition()), (ErrorKind::NoMatch, Disposition::Waiting));
    let locked = reply(&operation::MACHINE_RELEASE, 403, &[], "Machine is locked.");
    assert_eq!((locked.kind(), locked.disposition()), (ErrorKind::Locked, Disposition::Waiting));
    let refused = reply(&operation::MACHINE_RELEASE, 403, &[], "");
    assert_eq!((refused.kind(), refused.disposition()), (ErrorKind::Permission, Disposition::Terminal));
    let down = reply(&operation::MACHINE_RELEASE, 502, &[], "");
    assert_eq!(down.disposition(), Disposition::Transient);
    let moved = reply(&operation::ZONES_LIST, 301, &[("location", "https://new/MAAS/")], "");
    assert_eq!((moved.kind(), moved.redirect_target()), (ErrorKind::Redirect, Some("https://new/MAAS/")));
}
