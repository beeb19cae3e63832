use super::*;

fn size(spec: i64, exist: i64, available: i64) -> SetSize {
    SetSize { spec, exist, available }
}

#[test]
fn a_rolling_update_keeps_within_surge_and_unavailable() {
    // desired, surge, unavailable, new, old; expected new, old
    let cases = [
        ("first rollout", 3, 1, 0, size(0, 0, 0), vec![], 3, vec![]),
        ("scaling down without a rollout", 1, 1, 0, size(3, 3, 3), vec![], 1, vec![]),
        ("one more first", 3, 1, 0, size(0, 0, 0), vec![size(3, 3, 3)], 1, vec![3]),
        ("nothing while it comes up", 3, 1, 0, size(1, 1, 0), vec![size(3, 3, 3)], 1, vec![3]),
        ("then one less", 3, 1, 0, size(1, 1, 1), vec![size(3, 3, 3)], 1, vec![2]),
        ("no more while the old one goes", 3, 1, 0, size(1, 1, 1), vec![size(2, 3, 3)], 1, vec![2]),
        ("the next one once it is gone", 3, 1, 0, size(1, 1, 1), vec![size(2, 2, 2)], 2, vec![2]),
        ("the last old one", 3, 1, 0, size(3, 3, 3), vec![size(1, 1, 1)], 3, vec![0]),
        ("without spare hardware one less first", 3, 0, 1, size(0, 0, 0), vec![size(3, 3, 3)], 0, vec![2]),
        ("and the new one in its place", 3, 0, 1, size(0, 0, 0), vec![size(2, 2, 2)], 1, vec![2]),
        ("an old one that never came up does not block", 1, 1, 0, size(1, 1, 1), vec![size(1, 1, 0)], 1, vec![0]),
        ("several old sets go oldest first", 2, 1, 0, size(1, 1, 1), vec![size(1, 1, 1), size(1, 1, 1)], 1, vec![0, 1]),
    ];
    for (what, desired, surge, unavailable, new, old, expected_new, expected_old) in cases {
        assert_eq!(roll(desired, surge, unavailable, new, &old), (expected_new, expected_old), "{what}");
    }
}

#[test]
fn shares_are_numbers_or_percentages() {
    for (value, up, expected) in
        [(json!(2), true, 2), (json!("50%"), true, 2), (json!("50%"), false, 1), (json!("x"), true, 7)]
    {
        assert_eq!(share(Some(&value), 3, 7, up), expected, "{value}");
    }
}

#[test]
fn only_version_references_and_failure_domain_cause_a_rollout() {
    let template = json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "version": "v1.30.0",
        "infrastructureRef": { "apiVersion": "infrastructure.cluster.x-k8s.io/v1alpha3", "kind": "MaasMachineTemplate", "name": "t" } } });
    let hash = |t: &Value| template_hash(&rollout_part(&Object(t.clone())));
    let mut same = template.clone();
    same["metadata"] = json!({});
    same["spec"]["infrastructureRef"] =
        json!({ "apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "MaasMachineTemplate", "name": "t" });
    assert_eq!(hash(&template), hash(&same));
    for (pointer, value) in [("/spec/version", json!("v1.31.0")), ("/spec/infrastructureRef/name", json!("t2"))] {
        let mut other = template.clone();
        *other.pointer_mut(pointer).unwrap() = value;
        assert_ne!(hash(&template), hash(&other), "{pointer}");
    }
}
