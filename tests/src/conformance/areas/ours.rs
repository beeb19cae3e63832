//! Our own kinds: the CRDs of the release, served under another group so that no controller takes part.

use serde_json::{Value, json};

use super::cases;
use crate::conformance::fixtures::{CRDS, maas_group};
use crate::conformance::session::{Outcome, Session};

cases! {
    "our CRDs are established in all their versions" => established,
    "the least MaasCluster and MaasMachine are taken and filled in" => least,
    "templates are taken and filled in" => templates,
    "bad values in a MaasCluster are named" => bad_cluster,
    "bad values in a MaasMachine are named" => bad_machine,
    "spec of a MaasCluster changes only where it may" => cluster_changes,
    "spec of a MaasMachine changes only where it may" => machine_changes,
    "failure domains in status may be a list or an old object's map" => failure_domains,
    "an object of the oldest version is shown in the newest" => versions,
    "kubectl shows our objects in our columns" => tables,
    "conditions of our objects are checked" => conditions,
    "fields of the Go provider are taken" => go_fields,
}

fn path(s: &Session, version: &str, plural: &str) -> String {
    format!("/apis/{}/{version}/namespaces/{}/{plural}", maas_group(s.run()), s.token)
}

fn object(s: &Session, kind: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("{}/v1beta1", maas_group(s.run())), "kind": kind, "metadata": {"name": "a"}, "spec": spec})
}

const MACHINE: &str = r#"{"image": "ubuntu/noble", "minCPU": 2, "minMemory": 4096}"#;

fn machine() -> Value {
    serde_json::from_str(MACHINE).unwrap_or_default()
}

fn with(mut spec: Value, field: &str, value: Value) -> Value {
    spec[field] = value;
    spec
}

async fn established(s: &mut Session) -> Outcome {
    for plural in ["maasclusters", "maasmachines", "maasmachinetemplates", "maasclustertemplates"] {
        let at = format!("{CRDS}/{plural}.{}", maas_group(s.run()));
        let told = |crd: &Value| {
            let conditions = crd["status"]["conditions"].as_array().into_iter().flatten();
            let mut conditions: Vec<Value> = conditions.map(|c| json!([c["type"], c["status"]])).collect();
            conditions.sort_by_key(Value::to_string);
            json!({"conditions": conditions, "names": crd["status"]["acceptedNames"], "stored": crd["status"]["storedVersions"]})
        };
        s.get(&at).only(told).await?;
        for version in ["v1beta1", "v1alpha4", "v1alpha3"] {
            let list = path(s, version, plural);
            s.get(&list).pick(&["/kind", "/apiVersion"]).await?;
        }
    }
    Ok(())
}

async fn least(s: &mut Session) -> Outcome {
    let (clusters, cluster) =
        (path(s, "v1beta1", "maasclusters"), object(s, "MaasCluster", json!({"dnsDomain": "maas"})));
    s.post(&clusters, &cluster).await?;
    let (machines, one) = (path(s, "v1beta1", "maasmachines"), object(s, "MaasMachine", machine()));
    s.post(&machines, &one).await?;
    Ok(())
}

async fn templates(s: &mut Session) -> Outcome {
    let template = json!({"template": {"spec": machine()}});
    let (at, one) = (path(s, "v1beta1", "maasmachinetemplates"), object(s, "MaasMachineTemplate", template));
    s.post(&at, &one).await?;
    let template = json!({"template": {"spec": {"dnsDomain": "maas"}}});
    let (at, one) = (path(s, "v1beta1", "maasclustertemplates"), object(s, "MaasClusterTemplate", template));
    s.post(&at, &one).await?;
    Ok(())
}

const SAID: &[&str] = &["/spec", "/code", "/reason", "/message", "/details/causes"];

async fn bad_cluster(s: &mut Session) -> Outcome {
    let at = path(s, "v1beta1", "maasclusters");
    let domain = || json!({"dnsDomain": "maas"});
    for spec in [
        json!({}),
        json!({"dnsDomain": ""}),
        json!({"dnsDomain": "Not A Domain"}),
        with(domain(), "controlPlaneEndpointMode", json!("Magic")),
        with(domain(), "controlPlaneEndpoint", json!({"host": "a", "port": 70000})),
        with(domain(), "failureDomains", json!([""])),
        with(domain(), "failureDomains", json!({"a": {}})),
        with(domain(), "lxdConfig", json!({"nicType": "token-ring"})),
    ] {
        let cluster = object(s, "MaasCluster", spec);
        s.post(&at, &cluster).pick(SAID).await?;
    }
    let typo = object(s, "MaasCluster", json!({"dnsDomian": "maas", "dnsDomain": "maas"}));
    s.post(&format!("{at}?fieldValidation=Strict"), &typo).pick(SAID).await?;
    Ok(())
}

async fn bad_machine(s: &mut Session) -> Outcome {
    let at = path(s, "v1beta1", "maasmachines");
    for spec in [
        json!({}),
        with(machine(), "image", json!("")),
        with(machine(), "minCPU", json!(-1)),
        with(machine(), "minCPU", json!("two")),
        with(machine(), "minMemory", json!(1.5)),
        with(machine(), "providerID", json!("aws:///a/b")),
        with(machine(), "tags", json!("a,b")),
        with(machine(), "image", Value::Null),
    ] {
        let one = object(s, "MaasMachine", spec);
        s.post(&at, &one).pick(SAID).await?;
    }
    Ok(())
}

async fn cluster_changes(s: &mut Session) -> Outcome {
    let (clusters, cluster) =
        (path(s, "v1beta1", "maasclusters"), object(s, "MaasCluster", json!({"dnsDomain": "maas"})));
    s.post(&clusters, &cluster).quiet().await?;
    for spec in [
        json!({"controlPlaneEndpoint": {"host": "a.maas", "port": 6443}}),
        json!({"controlPlaneEndpoint": {"host": "b.maas"}}),
        json!({"controlPlaneEndpoint": null}),
        json!({"dnsDomain": "other"}),
        json!({"failureDomains": ["zone-a", "zone-b"]}),
    ] {
        s.merge(&format!("{clusters}/a"), &json!({"spec": spec})).pick(SAID).await?;
    }
    Ok(())
}

async fn machine_changes(s: &mut Session) -> Outcome {
    let (machines, one) = (path(s, "v1beta1", "maasmachines"), object(s, "MaasMachine", machine()));
    s.post(&machines, &one).quiet().await?;
    for spec in [
        json!({"systemID": "4y3h7n"}),
        json!({"providerID": "maas:///default/4y3h7n"}),
        json!({"providerID": "maas:///default/other"}),
        json!({"providerID": null}),
        json!({"image": "ubuntu/jammy"}),
        json!({"failureDomain": "zone-a"}),
    ] {
        s.merge(&format!("{machines}/a"), &json!({"spec": spec})).pick(SAID).await?;
    }
    Ok(())
}

async fn failure_domains(s: &mut Session) -> Outcome {
    let (clusters, cluster) =
        (path(s, "v1beta1", "maasclusters"), object(s, "MaasCluster", json!({"dnsDomain": "maas"})));
    s.post(&clusters, &cluster).quiet().await?;
    let at = format!("{clusters}/a/status");
    for domains in
        [json!([{"name": "zone-a", "controlPlane": true}]), json!({"zone-a": {"controlPlane": true}}), Value::Null]
    {
        s.merge(&at, &json!({"status": {"failureDomains": domains}})).pick(&["/status", "/message"]).await?;
    }
    Ok(())
}

async fn versions(s: &mut Session) -> Outcome {
    let old = path(s, "v1alpha3", "maasmachines");
    let mut one = object(s, "MaasMachine", machine());
    one["apiVersion"] = json!(format!("{}/v1alpha3", maas_group(s.run())));
    s.post(&old, &one).await?;
    let new = path(s, "v1beta1", "maasmachines");
    s.get(&format!("{new}/a")).await?;
    Ok(())
}

async fn tables(s: &mut Session) -> Outcome {
    let (machines, one) = (path(s, "v1beta1", "maasmachines"), object(s, "MaasMachine", machine()));
    s.post(&machines, &one).quiet().await?;
    let status = json!({"status": {"machineState": "Deployed", "hostname": "node1", "failureDomain": "default",
        "conditions": [{"type": "Ready", "status": "False", "reason": "MachineDeploying", "message": "MAAS installs the image"}]}});
    s.merge(&format!("{machines}/a/status"), &status).quiet().await?;
    s.get(&machines).table().pick(&["/columnDefinitions", "/rows/0/cells"]).await?;
    let (clusters, cluster) =
        (path(s, "v1beta1", "maasclusters"), object(s, "MaasCluster", json!({"dnsDomain": "maas"})));
    s.post(&clusters, &cluster).quiet().await?;
    s.get(&clusters).table().pick(&["/columnDefinitions", "/rows/0/cells"]).await?;
    for plural in ["maasmachinetemplates", "maasclustertemplates"] {
        let list = path(s, "v1beta1", plural);
        s.get(&list).table().pick(&["/columnDefinitions"]).await?;
    }
    Ok(())
}

async fn conditions(s: &mut Session) -> Outcome {
    let (machines, one) = (path(s, "v1beta1", "maasmachines"), object(s, "MaasMachine", machine()));
    s.post(&machines, &one).quiet().await?;
    let at = format!("{machines}/a/status");
    let ready = |more: Value| {
        let mut condition = json!({"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"});
        for (name, value) in more.as_object().into_iter().flatten() {
            condition[name] = value.clone();
        }
        condition
    };
    for list in [
        json!([ready(json!({"reason": "Provisioned", "message": "", "observedGeneration": 1}))]),
        json!([ready(json!({"status": "Maybe"}))]),
        json!([ready(json!({})), ready(json!({"reason": "Twice"}))]),
        json!([ready(json!({"lastTransitionTime": "now"}))]),
        json!([ready(json!({"severity": "Error"}))]),
    ] {
        s.merge(&at, &json!({"status": {"conditions": list}}))
            .pick(&["/status", "/code", "/message", "/details/causes"])
            .await?;
    }
    Ok(())
}

async fn go_fields(s: &mut Session) -> Outcome {
    let at = path(s, "v1beta1", "maasmachines");
    let lxd = json!({"enabled": false, "vmConfig": {"diskSize": 60, "network": "br0", "interfaceLinkModes": {"eth0": "auto"}}});
    let spec = with(with(machine(), "lxd", lxd), "parent", json!("abc123"));
    let one = object(s, "MaasMachine", spec);
    s.post(&format!("{at}?fieldValidation=Strict"), &one).pick(SAID).await?;
    Ok(())
}
