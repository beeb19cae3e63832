//! Leases, by which one of our controllers leads.

use serde_json::{Value, json};

use super::cases;
use crate::conformance::session::{Outcome, Session};

cases! {
    "a Lease keeps its times to the microsecond" => microseconds,
    "of two who take a Lease at one version one gets a conflict" => conflict,
    "of two who create a Lease one gets AlreadyExists" => exists,
    "a Lease without a time is free" => free,
    "durations and times that are none are refused" => invalid,
    "a time of a Lease without six digits after its point is refused" => times,
}

fn path(s: &Session) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", s.token)
}

fn lease(holder: &str) -> Value {
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "leader"}, "spec": {
        "holderIdentity": holder, "leaseDurationSeconds": 15, "acquireTime": "2020-01-01T00:00:00.000001Z",
        "renewTime": "2020-01-01T00:00:10.123456Z", "leaseTransitions": 0}})
}

async fn microseconds(s: &mut Session) -> Outcome {
    let path = path(s);
    s.post(&path, &lease("me")).await?;
    s.get(&format!("{path}/leader")).pick(&["/spec"]).await?;
    Ok(())
}

async fn conflict(s: &mut Session) -> Outcome {
    let path = path(s);
    let made = s.post(&path, &lease("me")).quiet().await?;
    for holder in ["you", "they"] {
        let mut wanted = lease(holder);
        wanted["metadata"]["resourceVersion"] = json!(made.version());
        s.put(&format!("{path}/leader"), &wanted)
            .pick(&["/spec/holderIdentity", "/code", "/reason", "/message"])
            .await?;
    }
    Ok(())
}

async fn exists(s: &mut Session) -> Outcome {
    let path = path(s);
    for holder in ["me", "you"] {
        s.post(&path, &lease(holder)).pick(&["/spec/holderIdentity", "/code", "/reason", "/message"]).await?;
    }
    Ok(())
}

async fn free(s: &mut Session) -> Outcome {
    let path = path(s);
    s.post(&path, &json!({"metadata": {"name": "leader"}, "spec": {"holderIdentity": "", "renewTime": null}})).await?;
    Ok(())
}

async fn invalid(s: &mut Session) -> Outcome {
    let path = path(s);
    for (field, value) in [("leaseDurationSeconds", json!(0)), ("leaseTransitions", json!(-1))] {
        let mut wanted = lease("me");
        wanted["spec"][field] = value;
        s.post(&path, &wanted).pick(&["/code", "/reason", "/message"]).await?;
    }
    let mut wanted = lease("you");
    wanted["spec"]["renewTime"] = json!("yesterday");
    s.post(&path, &wanted).pick(&["/code", "/reason"]).await?;
    Ok(())
}

async fn times(s: &mut Session) -> Outcome {
    let path = path(s);
    for time in ["2020-01-01T00:00:00Z", "2020-01-01T00:00:10.5Z", "2020-01-01T00:00:10.123456789Z"] {
        let mut wanted = lease("me");
        wanted["spec"]["renewTime"] = json!(time);
        s.post(&path, &wanted).pick(&["/spec", "/code", "/reason"]).await?;
    }
    Ok(())
}
