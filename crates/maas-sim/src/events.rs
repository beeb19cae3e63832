//! The event log as the API pages through it (reference §6.3).

use serde_json::{Value, json};

use crate::region::Region;
use crate::reply::{Answer, Reply};
use crate::route::Call;
use crate::state::{Event, Level};

impl Region {
    pub(crate) fn query_events(&self, call: &Call) -> Answer {
        let query = &call.query;
        let level = match query.last("level") {
            None | Some("") => Level::Info,
            Some(name) => Level::ALL
                .into_iter()
                .find(|l| l.name() == name)
                .ok_or_else(|| Reply::text(400, format!("Unrecognised log level: {name}")))?,
        };
        let number = |key: &str| -> Result<Option<u64>, Reply> {
            query
                .last(key)
                .map(|t| t.parse().map_err(|_| Reply::text(400, format!("Invalid {key}: Please enter a number"))))
                .transpose()
        };
        let limit = number("limit")?.unwrap_or(100);
        if limit > 1000 {
            return Err(Reply::text(400, format!("Requested number of events {limit} is greater than limit: 1000")));
        }
        let (after, before) = (number("after")?, number("before")?);
        if after.is_some() && before.is_some() {
            return Err(Reply::text(
                400,
                "There is undetermined behaviour when both `after` and `before` are specified.",
            ));
        }
        let any = |key: &str, value: &str| !query.has(key) || query.all(key).any(|v| v == value);
        let wanted = |e: &&Event| {
            let Some(m) = self.machines.get(&e.machine) else {
                return false;
            };
            e.level >= level
                && after.is_none_or(|n| e.id > n)
                && before.is_none_or(|n| e.id < n)
                && any("id", &m.system_id)
                && any("hostname", &m.hostname)
                && (!query.has("mac_address")
                    || m.interfaces.iter().any(|i| any("mac_address", i.mac.as_deref().unwrap_or(""))))
                && any("agent_name", &m.agent_name)
                && any("zone", self.zones.get(&m.zone).map_or("", |z| &z.name))
                && any("pool", self.pools.get(&m.pool).map_or("", |p| &p.name))
                && any("domain", self.domains.get(&m.domain).map_or("", |d| &d.name))
                && any("owner", e.username.as_deref().unwrap_or(""))
        };
        let limit = usize::try_from(limit).unwrap_or(1000);
        // `after` takes the oldest of what follows, everything else the newest; shown newest first either way.
        let mut hits: Vec<&Event> = if after.is_some() {
            self.events.iter().filter(wanted).take(limit).collect()
        } else {
            self.events.iter().rev().filter(wanted).take(limit).collect()
        };
        hits.sort_by_key(|e| std::cmp::Reverse(e.id));
        let base: String = query
            .pairs()
            .filter(|(k, _)| !matches!(*k, "after" | "before") && !k.starts_with("oauth_"))
            .map(|(k, v)| format!("{k}={v}"))
            .collect::<Vec<_>>()
            .join("&");
        let uri = |tail: String| format!("/MAAS/api/2.0/events/?{base}{tail}");
        let next = match (hits.first(), before, after) {
            (Some(newest), _, _) => uri(format!("&after={}", newest.id)),
            (None, Some(n), _) => uri(format!("&after={}", n.saturating_sub(1))),
            (None, None, Some(n)) => uri(format!("&after={n}")),
            (None, None, None) => uri(String::new()),
        };
        let previous = hits.last().map(|oldest| uri(format!("&before={}", oldest.id)));
        let shown: Vec<Value> = hits.iter().map(|e| self.event_json(e)).collect();
        Ok(Reply::json(&json!({"count": shown.len(), "events": shown, "next_uri": next, "prev_uri": previous})))
    }

    fn event_json(&self, e: &Event) -> Value {
        let machine = self.machines.get(&e.machine);
        json!({
            "id": e.id, "node": machine.map(|m| &m.system_id), "hostname": machine.map(|m| &m.hostname), "username": e.username.as_deref().unwrap_or("unknown"),
            "level": e.level.name(), "created": e.created.strftime("%a, %d %b. %Y %H:%M:%S").to_string(), "type": e.kind, "description": e.description,
        })
    }
}
