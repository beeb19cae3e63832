//! MAAS's errors as [`Fault`]s: the one place where it is decided what a failed call means.
//!
//! | maas-client says | fault |
//! |---|---|
//! | ambiguous (5xx, timeout, lost connection after a write) | Ambiguous; a deployment for lack of addresses is Unavailable |
//! | NoMatch | Rejected NoMatch |
//! | StateConflict | Rejected WrongState |
//! | Locked | Rejected Locked |
//! | Permission | Rejected Permission (an empty 403 may also mean locked: [`crate::MaasRegion`] looks) |
//! | NotFound | Rejected Gone |
//! | Validation, InvalidRequest, TooLarge (413) | Rejected Invalid, the field in our terms |
//! | everything else | Unavailable |

use capmaas_reconcile::provider::{Fault, Refusal};
use maas_client::{Error, ErrorKind};

/// Longest message, in characters: it ends up in a condition.
const LIMIT: usize = 400;

/// What was being done when it failed; begins the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doing {
    /// Reading.
    Read,
    /// Allocating.
    Claim,
    /// Writing `owner_data`.
    Mark,
    /// Deploying.
    Deploy,
    /// Releasing.
    Release,
    /// Setting the swap file off.
    Swap,
    /// Powering on.
    Power,
    /// Powering off.
    PowerOff,
    /// Marking broken.
    Break,
    /// Tagging.
    Tag,
    /// Changing a DNS name.
    Name,
}

impl Doing {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "reading from MAAS",
            Self::Claim => "allocating the machine",
            Self::Mark => "annotating the machine",
            Self::Deploy => "deploying the machine",
            Self::Release => "releasing the machine",
            Self::Swap => "setting the machine's swap off",
            Self::Power => "powering the machine on",
            Self::PowerOff => "powering the machine off",
            Self::Break => "marking the machine broken",
            Self::Tag => "tagging the machine",
            Self::Name => "writing the DNS name",
        }
    }
}

/// A refusal in words.
pub(crate) fn rejected(why: Refusal, message: impl Into<String>) -> Fault {
    Fault::Rejected { why, message: short(message.into()) }
}

/// What a failed call means.
pub fn fault(doing: Doing, error: &Error) -> Fault {
    let message = short(format!("{}: {}", doing.as_str(), words(error)));
    if error.is_ambiguous() {
        // MAAS has put the machine back to Allocated by then: nothing is open.
        if doing == Doing::Deploy && error.message().starts_with("No more IPs") {
            let message = format!("{message} Free or add addresses in that subnet; it is tried again");
            return Fault::Unavailable { message: short(message) };
        }
        return Fault::Ambiguous { message };
    }
    let why = match error.kind() {
        ErrorKind::NoMatch => Refusal::NoMatch,
        ErrorKind::StateConflict => Refusal::WrongState,
        ErrorKind::Locked => Refusal::Locked,
        ErrorKind::Permission => Refusal::Permission,
        ErrorKind::NotFound => Refusal::Gone,
        ErrorKind::Validation | ErrorKind::InvalidRequest => Refusal::Invalid,
        // 413 speaks of what we sent; without a status it is our own cap on what came.
        ErrorKind::TooLarge if error.status().is_some() => Refusal::Invalid,
        _ => return Fault::Unavailable { message },
    };
    Fault::Rejected { why, message }
}

/// What MAAS says, with its parameters under the names that a person wrote.
pub(crate) fn words(error: &Error) -> String {
    words_under(error, |_| None)
}

/// The same, where somebody knows better which field a parameter comes from.
pub(crate) fn words_under(error: &Error, field: impl Fn(&str) -> Option<String>) -> String {
    if error.kind() == ErrorKind::Validation && !error.fields().is_empty() {
        let fields = error.fields().iter().map(|(parameter, messages)| {
            let said = messages.join(" ");
            match field(parameter).unwrap_or_else(|| our_field(parameter).to_owned()) {
                field if field.is_empty() => said,
                field => format!("{field}: {said}"),
            }
        });
        return fields.collect::<Vec<_>>().join("; ");
    }
    let said = error.message();
    match (error.kind(), error.status()) {
        (ErrorKind::Auth, _) => format!("MAAS refuses the API key: {said}"),
        (ErrorKind::Transport, _) => match root_cause(error) {
            Some(cause) => format!("{said}: {cause}"),
            None => said.to_owned(),
        },
        (ErrorKind::Permission, _) if said.is_empty() => "MAAS says that our user may not (403)".to_owned(),
        (_, Some(status)) if said.is_empty() => format!("MAAS answered {status}"),
        (_, Some(status)) if status.is_server_error() => format!("{said} ({})", status.as_u16()),
        _ => said.to_owned(),
    }
}

fn root_cause(error: &Error) -> Option<String> {
    let first = std::error::Error::source(error)?;
    std::iter::successors(Some(first), |e| e.source()).last().map(ToString::to_string)
}

/// MAAS's parameter as the field of our API that it comes from.
fn our_field(parameter: &str) -> &str {
    match parameter {
        "zone" => "spec.failureDomain",
        "pool" => "spec.resourcePool",
        "tags" => "spec.tags",
        "mem" => "spec.minMemory",
        "cpu_count" => "spec.minCPU",
        "distro_series" => "spec.image",
        "ephemeral_deploy" => "spec.deployInMemory",
        "__all__" => "",
        other => other,
    }
}

/// One line of bearable length.
pub(crate) fn short(text: String) -> String {
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, StatusCode};
    use maas_client::{Operation, operation as op};

    use super::*;

    fn answer(operation: &Operation, status: u16, retry_after: bool, body: &str) -> Error {
        let mut headers = HeaderMap::new();
        if retry_after {
            headers.insert("retry-after", "5".parse().unwrap());
        }
        Error::from_reply(operation, StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes())
    }

    fn kind(fault: &Fault) -> String {
        match fault {
            Fault::Rejected { why, .. } => format!("{why:?}"),
            Fault::Ambiguous { .. } => "Ambiguous".to_owned(),
            Fault::Unavailable { .. } => "Unavailable".to_owned(),
        }
    }

    /// W-37
    #[test]
    fn each_answer_of_maas_has_one_meaning() {
        use Doing::{Claim, Deploy, Mark, Name, Read, Release};
        let (allocate, deploy, release, read) =
            (&op::MACHINES_ALLOCATE, &op::MACHINE_DEPLOY, &op::MACHINE_RELEASE, &op::MACHINE_READ);
        let unknown_zone = r#"{"zone": ["No such zone(s): nope."]}"#;
        let image = r#"{"distro_series": ["'nope' is not a valid distro_series."]}"#;
        for (doing, operation, status, retry, body, expected, said) in [
            (Claim, allocate, 409, false, "No machine with system ID x available.", "NoMatch", "No machine"),
            (Claim, allocate, 409, true, "<html>", "Unavailable", ""),
            (Claim, allocate, 400, false, unknown_zone, "Invalid", "spec.failureDomain: No such zone(s): nope."),
            (Claim, allocate, 400, false, r#"{"pool": ["x"]}"#, "Invalid", "spec.resourcePool: x"),
            (Claim, allocate, 400, false, r#"{"tags": ["x"]}"#, "Invalid", "spec.tags: x"),
            (Claim, allocate, 400, false, r#"{"mem": ["x"]}"#, "Invalid", "spec.minMemory: x"),
            (Claim, allocate, 400, false, r#"{"cpu_count": ["x"]}"#, "Invalid", "spec.minCPU: x"),
            (Claim, allocate, 500, false, "boom", "Ambiguous", "boom (500)"),
            (Claim, allocate, 504, false, "", "Ambiguous", "504"),
            (
                Claim,
                allocate,
                401,
                false,
                "Invalid signature. Expected signature base string: &s3cret",
                "Unavailable",
                "refuses the API key",
            ),
            (Claim, allocate, 403, false, "", "Permission", "may not"),
            (
                Mark,
                &op::MACHINE_SET_OWNER_DATA,
                409,
                false,
                "Cannot set workload annotation",
                "WrongState",
                "Cannot set",
            ),
            (Deploy, deploy, 400, false, image, "Invalid", "spec.image: 'nope'"),
            (
                Deploy,
                deploy,
                503,
                false,
                "No more IPs available in subnet: 10.10.0.0/24.",
                "Unavailable",
                "10.10.0.0/24",
            ),
            (Deploy, deploy, 503, false, "Unable to connect to any rack controller", "Ambiguous", "rack"),
            (
                Deploy,
                deploy,
                409,
                false,
                "Can't deploy a machine that is in the 'Broken' state",
                "WrongState",
                "Broken",
            ),
            (Deploy, deploy, 413, false, "too big", "Invalid", "too big"),
            (
                Release,
                release,
                409,
                false,
                "Machine cannot be released in its current state ('Rescue mode').",
                "WrongState",
                "Rescue",
            ),
            (Release, release, 403, false, "node is locked", "Locked", "locked"),
            (Release, release, 404, false, "No Machine matches the given query.", "Gone", "No Machine"),
            (Name, &op::DNS_CREATE, 403, false, "", "Permission", "DNS"),
            (Read, read, 404, false, "<html>who are you</html>", "Unavailable", ""),
            (Read, read, 502, false, "<html>Bad gateway</html>", "Unavailable", "Bad gateway"),
        ] {
            let fault = fault(doing, &answer(operation, status, retry, body));
            assert_eq!(kind(&fault), expected, "{doing:?} {status} {body}");
            let text = fault.to_string();
            assert!(text.contains(said), "{doing:?} {status}: {text}");
            assert!(text.contains(doing.as_str()) && !text.contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn what_never_left_did_not_happen_and_what_was_cut_off_may_have() {
        let cut = Error::timed_out(&op::MACHINE_RELEASE, Duration::from_secs(600));
        assert_eq!(kind(&fault(Doing::Release, &cut)), "Ambiguous");
        assert_eq!(
            kind(&fault(Doing::Read, &Error::timed_out(&op::MACHINE_READ, Duration::from_secs(30)))),
            "Unavailable"
        );
        let lost = Error::transport(&op::MACHINES_ALLOCATE, "reset by peer".into());
        assert_eq!(kind(&fault(Doing::Claim, &lost)), "Ambiguous");
        assert!(fault(Doing::Claim, &lost).to_string().contains("reset by peer"));
        let refused = Error::invalid_request(&op::MACHINES_ALLOCATE, "agent_name too long");
        assert_eq!(kind(&fault(Doing::Claim, &refused)), "Invalid");
    }

    #[test]
    fn a_long_answer_is_cut() {
        let long = answer(&op::MACHINE_READ, 500, false, &"x".repeat(5000));
        assert!(fault(Doing::Read, &long).to_string().chars().count() <= LIMIT + 1);
    }
}
