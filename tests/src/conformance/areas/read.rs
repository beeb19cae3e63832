//! Reading one object and lists.

use serde_json::{Value, json};

use super::cases;
use crate::conformance::fixtures::{config_map, labelled};
use crate::conformance::session::{Outcome, Session, ensure, names};

cases! {
    "an object that is not there is NotFound, with its name and kind" => missing,
    "a kind or version that is not served is not found" => unknown_kind,
    "a list of nothing has a version and no items" => empty_list,
    "a list is in order of names, in all namespaces of namespace and name" => ordered,
    "items of a list of custom resources carry kind and apiVersion, those of core kinds do not" => item_kinds,
    "a list in a namespace that does not exist is empty" => no_namespace,
    "limit and continue page through a list" => pages,
    "what remains of a list is not counted when it is selected" => selected_pages,
    "a list that is not older than a version is the newest there is" => not_older,
    "a list at an exact version shows the past" => exact,
    "a token that the server did not make is refused" => bad_token,
    "resourceVersion 0 lists whatever there is" => any_version,
    "a resourceVersion that is no number is refused" => bad_version,
    "a list at a version that is still to come times out" => future_version,
    "resourceVersionMatch without a version is refused" => bad_match,
}

async fn missing(s: &mut Session) -> Outcome {
    let (maps, widgets, group) = (s.core("configmaps"), s.widgets(), s.group());
    s.get(&format!("{maps}/a")).await?;
    s.get(&format!("{widgets}/a")).await?;
    s.get(&format!("/apis/{group}/v1/boxes/a")).await?;
    Ok(())
}

async fn unknown_kind(s: &mut Session) -> Outcome {
    let group = s.group();
    let path = s.core("gadgets");
    s.get(&path).await?;
    for path in [
        format!("/apis/{group}/v1/gadgets"),
        format!("/apis/{group}/v1alpha1/widgets"),
        format!("/apis/{group}/v9/widgets"),
        format!("/apis/nobody.{group}/v1/widgets"),
        "/api/v9/configmaps".to_owned(),
    ] {
        s.get(&path).await?;
    }
    Ok(())
}

async fn empty_list(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    let list = s.get(&widgets).await?;
    ensure(!list.version().is_empty(), "the list has a version")?;
    s.get(&maps).await?;
    Ok(())
}

async fn ordered(s: &mut Session) -> Outcome {
    let (path, group) = (s.widgets(), s.group());
    for name in ["b", "a.b", "c", "a", "a-b"] {
        let widget = labelled(s.widget(name, json!({})), &[("case", &s.token)]);
        s.post(&path, &widget).quiet().await?;
    }
    s.get(&path).only(names).await?;
    let second = format!("{}-a", s.token);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": second}});
    s.post("/api/v1/namespaces", &namespace).quiet().await?;
    s.sweep_later(&format!("/api/v1/namespaces/{second}"));
    let widget = labelled(s.widget("a", json!({})), &[("case", &s.token)]);
    s.post(&format!("/apis/{group}/v1/namespaces/{second}/widgets"), &widget).quiet().await?;
    let all = format!("/apis/{group}/v1/widgets?labelSelector=case%3D{}", s.token);
    let where_and_name = |list: &Value| {
        let items = list["items"].as_array().into_iter().flatten();
        items.map(|item| json!([item["metadata"]["namespace"], item["metadata"]["name"]])).collect()
    };
    s.get(&all).only(where_and_name).await?;
    Ok(())
}

async fn item_kinds(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    let widget = s.widget("a", json!({}));
    s.post(&maps, &config_map("a")).quiet().await?;
    s.post(&widgets, &widget).quiet().await?;
    s.get(&maps).await?;
    s.get(&widgets).await?;
    Ok(())
}

async fn no_namespace(s: &mut Session) -> Outcome {
    let path = format!("/api/v1/namespaces/{}-missing/configmaps", s.token);
    s.get(&path).await?;
    Ok(())
}

async fn pages(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    for name in ["a", "b", "c", "d", "e"] {
        s.post(&path, &config_map(name)).quiet().await?;
    }
    let page = |list: &Value| json!({"metadata": list["metadata"], "names": names(list)});
    let mut next = String::new();
    for _ in 0..3 {
        let list = s.get(&format!("{path}?limit=2{next}")).only(page).await?;
        next = format!("&continue={}", list.text("/metadata/continue"));
    }
    ensure(next == "&continue=", "three pages")
}

async fn selected_pages(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    for name in ["a", "b", "c"] {
        s.post(&path, &labelled(config_map(name), &[("app", "web")])).quiet().await?;
    }
    let page = |list: &Value| {
        let rest = &list["metadata"];
        json!({"continue": rest["continue"], "remaining": rest["remainingItemCount"], "names": names(list)})
    };
    s.get(&format!("{path}?limit=2&labelSelector=app%3Dweb")).only(page).await?;
    s.get(&format!("{path}?limit=1&fieldSelector=metadata.name!%3Da")).only(page).await?;
    Ok(())
}

async fn not_older(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({}));
    let first = s.post(&path, &widget).quiet().await?.version();
    let widget = s.widget("b", json!({}));
    let second = s.post(&path, &widget).quiet().await?.version();
    s.get(&format!("{path}?resourceVersionMatch=NotOlderThan&resourceVersion={second}")).only(names).await?;
    s.wait(&format!("{path}?resourceVersionMatch=NotOlderThan&resourceVersion=0"), |list| {
        names(&list.body) == json!(["a", "b"])
    })
    .await?;
    s.get(&format!("{path}?resourceVersionMatch=NotOlderThan&resourceVersion={first}")).pick(&["/kind"]).await?;
    Ok(())
}

async fn exact(s: &mut Session) -> Outcome {
    let path = s.widgets();
    let widget = s.widget("a", json!({}));
    let first = s.post(&path, &widget).quiet().await?.version();
    let widget = s.widget("b", json!({}));
    s.post(&path, &widget).quiet().await?;
    s.get(&format!("{path}?resourceVersionMatch=Exact&resourceVersion={first}")).only(names).await?;
    Ok(())
}

async fn bad_token(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    s.get(&format!("{path}?limit=2&continue=nonsense")).pick(&["/reason", "/code"]).await?;
    Ok(())
}

async fn any_version(s: &mut Session) -> Outcome {
    let path = s.core("configmaps");
    s.post(&path, &config_map("a")).quiet().await?;
    s.wait(&format!("{path}?resourceVersion=0"), |list| list.body["items"][0]["metadata"]["name"] == "a").await?;
    s.get(&format!("{path}?resourceVersion=0")).only(names).await?;
    s.get(&format!("{path}/a?resourceVersion=0")).pick(&["/metadata/name"]).await?;
    Ok(())
}

async fn bad_version(s: &mut Session) -> Outcome {
    let (maps, widgets) = (s.core("configmaps"), s.widgets());
    s.get(&format!("{maps}?resourceVersion=abc")).await?;
    s.get(&format!("{widgets}?resourceVersion=abc")).await?;
    Ok(())
}

async fn future_version(s: &mut Session) -> Outcome {
    let path = s.widgets();
    s.get(&format!("{path}?resourceVersion=99999999999")).await?;
    Ok(())
}

async fn bad_match(s: &mut Session) -> Outcome {
    let path = s.widgets();
    s.get(&format!("{path}?resourceVersionMatch=Exact")).await?;
    s.get(&format!("{path}?resourceVersion=1&resourceVersionMatch=Nearly")).await?;
    Ok(())
}
