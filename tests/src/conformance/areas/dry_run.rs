//! Requests that are checked and not done.

use serde_json::json;

use super::cases;
use crate::conformance::fixtures::config_map;
use crate::conformance::session::{Outcome, Session};

cases! {
    "a dry run of a create answers as a create and stores nothing" => create,
    "a dry run of a create is refused for what exists and for what is invalid" => refused,
    "a dry run of a change answers with the change and stores nothing" => change,
    "a dry run of a delete deletes nothing" => delete,
    "a dry run of anything else than All is refused" => other,
}

async fn create(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({}));
    let made = s.post(&format!("{path}?dryRun=All"), &widget).only(|body| {
        let mut body = body.clone();
        // Whatever uid it would have, it does not have it.
        body["metadata"]["uid"] = json!(body["metadata"]["uid"].is_string());
        body
    });
    made.await?;
    s.get(&format!("{path}/a")).pick(&["/code"]).await?;
    Ok(())
}

async fn refused(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    s.post(&path, &config_map("a")).quiet().await?;
    s.post(&format!("{path}?dryRun=All"), &config_map("a")).await?;
    let widgets = s.widgets();
    let widget = s.widget("a", json!({"size": 101}));
    s.post(&format!("{widgets}?dryRun=All"), &widget).pick(&["/code", "/reason"]).await?;
    Ok(())
}

async fn change(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({"size": 1}));
    let mut made = s.post(&path, &widget).await?;
    let at = format!("{path}/a");
    s.merge(&format!("{at}?dryRun=All"), &json!({"spec": {"size": 2}})).await?;
    made.body["spec"]["size"] = json!(3);
    s.put(&format!("{at}?dryRun=All"), &made.body).pick(&["/spec", "/metadata/generation"]).await?;
    s.merge(&format!("{at}/status?dryRun=All"), &json!({"status": {"phase": "x"}})).pick(&["/status"]).await?;
    s.get(&at).await?;
    Ok(())
}

async fn delete(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({}));
    s.post(&path, &widget).await?;
    s.delete(&format!("{path}/a?dryRun=All")).await?;
    let body = json!({"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]});
    s.delete_with(&format!("{path}/a"), &body).pick(&["/status"]).await?;
    s.get(&format!("{path}/a")).pick(&["/metadata/name", "/metadata/deletionTimestamp"]).await?;
    Ok(())
}

async fn other(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({}));
    s.post(&format!("{path}?dryRun=Some"), &widget).pick(&["/code", "/reason", "/message"]).await?;
    Ok(())
}
