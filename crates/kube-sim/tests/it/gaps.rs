//! `GAPS.md` and the server hold each other to their word.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use kube_sim::KubeSim;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::sim;

const GAPS: &str = include_str!("../../GAPS.md");

/// (gap, request, code, words) of each row.
fn rows() -> Vec<(&'static str, &'static str, u16, &'static str)> {
    GAPS.lines()
        .filter(|l| l.starts_with("| ") && !l.starts_with("| gap"))
        .map(|l| {
            let cells: Vec<&str> = l.trim_matches('|').split('|').map(str::trim).collect();
            let [gap, request, code, words] = cells.as_slice() else { panic!("four cells: {l}") };
            (*gap, *request, code.parse().unwrap(), *words)
        })
        .collect()
}

async fn send(sim: &KubeSim, line: &str, body: &Value) -> (u16, String) {
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let mut request = Request::builder().method(method).uri(path);
    for w in words {
        request = match w.split_once('=').filter(|_| w.starts_with('@')) {
            Some((name, value)) => request.header(&name[1..], value),
            None => request.header("content-type", &w[1..]),
        };
    }
    let answer = sim.clone().oneshot(request.body(Full::new(Bytes::from(body.to_string()))).unwrap()).await.unwrap();
    let code = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8_lossy(&bytes).into_owned())
}

fn webhook_crd() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "hooks.example.io"},
        "spec": {"group": "example.io", "scope": "Namespaced", "names": {"kind": "Hook", "plural": "hooks"},
            "conversion": {"strategy": "Webhook"}, "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}]}})
}

#[tokio::test]
async fn every_listed_gap_is_refused_by_name() {
    let sim = sim();
    assert!(rows().len() > 20);
    for (gap, request, code, words) in rows() {
        let body = if gap == "conversion-webhooks" { webhook_crd() } else { json!({}) };
        let (got, text) = send(&sim, request, &body).await;
        assert_eq!(got, code, "{gap}: {text}");
        let status: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(status["kind"], "Status", "{gap}");
        assert!(status["message"].as_str().unwrap().contains(words), "{gap}: {text}");
    }
}

#[tokio::test]
async fn nothing_that_works_is_listed() {
    let sim = sim();
    let widget = json!({"apiVersion": "example.io/v1beta1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"color": "red"}});
    let map = json!({"metadata": {"name": "m"}, "data": {"a": "b"}});
    let works = [
        ("create", "POST /apis/example.io/v1beta1/namespaces/default/widgets", widget),
        (
            "merge-patch",
            "PATCH /apis/example.io/v1beta1/namespaces/default/widgets/w +application/merge-patch+json",
            json!({"spec": {"color": "blue"}}),
        ),
        (
            "json-patch",
            "PATCH /apis/example.io/v1beta1/namespaces/default/widgets/w +application/json-patch+json",
            json!([{"op": "test", "path": "/spec/color", "value": "blue"}]),
        ),
        (
            "scale",
            "PATCH /apis/example.io/v1beta1/namespaces/default/widgets/w/scale +application/merge-patch+json",
            json!({"spec": {"replicas": 2}}),
        ),
        (
            "status",
            "PATCH /apis/example.io/v1beta1/namespaces/default/widgets/w/status +application/merge-patch+json",
            json!({"status": {"replicas": 2}}),
        ),
        ("core-create", "POST /api/v1/namespaces/default/configmaps", map),
        (
            "strategic-merge-of-core-kinds",
            "PATCH /api/v1/namespaces/default/configmaps/m +application/strategic-merge-patch+json",
            json!({"data": {"c": "d"}}),
        ),
        ("table", "GET /api/v1/namespaces @accept=application/json;as=Table;v=v1;g=meta.k8s.io", json!({})),
        (
            "metadata-only",
            "GET /api/v1/namespaces @accept=application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            json!({}),
        ),
        (
            "aggregated-discovery",
            "GET /apis @accept=application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            json!({}),
        ),
        ("openapi-v3", "GET /openapi/v3/apis/example.io/v1beta1", json!({})),
        ("self-access-review", "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json!({"spec": {}})),
        ("leases", "GET /apis/coordination.k8s.io/v1/leases", json!({})),
        ("roles", "GET /apis/rbac.authorization.k8s.io/v1/clusterroles", json!({})),
        ("health", "GET /readyz", json!({})),
    ];
    let listed: Vec<&str> = rows().iter().flat_map(|r| [r.0, r.1]).collect();
    for (name, request, body) in works {
        let (code, text) = send(&sim, request, &body).await;
        assert!((200..300).contains(&code), "{name}: {code} {text}");
        assert!(!listed.contains(&name) && !listed.contains(&request), "{name} works, but GAPS.md lists it");
    }
}
