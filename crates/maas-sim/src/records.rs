//! DNS records other than addresses (reference §5.4).

use serde_json::{Value, json};

use crate::dns::DnsName;
use crate::places::parse_ttl;
use crate::region::Region;
use crate::reply::{Answer, Reply};
use crate::route::Call;
use crate::state::DnsRecord;
use crate::view::API;

const TYPES: [&str; 6] = ["TXT", "SSHFP", "CNAME", "NS", "SRV", "MX"];

impl Region {
    pub(crate) fn answer_records(&mut self, call: &Call) -> Answer {
        if !call.is_single() {
            if call.method() == "GET" {
                return self.list_records(call);
            }
            call.admin_or(Reply::admins_only())?;
            return self.create_record(call);
        }
        let id = call
            .key
            .parse::<u64>()
            .ok()
            .filter(|id| self.records.contains_key(id))
            .ok_or_else(|| Reply::missing("DNSData"))?;
        if call.method() != "GET" {
            call.admin_or(Reply::forbidden())?;
        }
        match call.method() {
            "DELETE" => {
                self.delete_record(id);
                return Ok(Reply::no_content());
            }
            "PUT" => {
                let data = &call.form.data;
                let ttl = parse_ttl(data, "ttl")?;
                if let Some(kind) = data.last("rrtype") {
                    check_type(kind)?;
                }
                if let Some(record) = self.records.get_mut(&id) {
                    if let Some(kind) = data.last("rrtype") {
                        kind.to_ascii_uppercase().clone_into(&mut record.kind);
                    }
                    if let Some(text) = data.last("rrdata") {
                        text.clone_into(&mut record.data);
                    }
                    record.ttl = ttl.unwrap_or(record.ttl);
                }
            }
            _ => {}
        }
        Ok(Reply::json(&self.record_json(id)))
    }

    fn list_records(&self, call: &Call) -> Answer {
        let query = &call.query;
        let wanted = self.wanted_names(query)?;
        let kind = query.last("rrtype").map(str::to_ascii_uppercase);
        let mut hits: Vec<(u64, &str, u64)> = Vec::new();
        for (id, record) in &self.records {
            let Some(resource) = self.dns.get(&record.resource) else { continue };
            if wanted.fits(&resource.name, resource.domain) && kind.as_ref().is_none_or(|k| *k == record.kind) {
                hits.push((resource.domain, &resource.name, *id));
            }
        }
        hits.sort_unstable();
        Ok(Reply::list(hits.into_iter().map(|(_, _, id)| self.record_json(id)).collect()))
    }

    fn create_record(&mut self, call: &Call) -> Answer {
        let data = &call.form.data;
        let DnsName { name, domain } = self.given_name(data)?;
        let kind = data.last("rrtype").ok_or_else(|| Reply::text(400, "rrtype must be provided."))?;
        let text = data.last("rrdata").ok_or_else(|| Reply::text(400, "rrdata must be provided."))?.to_owned();
        check_type(kind)?;
        let kind = kind.to_ascii_uppercase();
        let ttl = parse_ttl(data, "ttl")?.flatten();
        let known =
            self.dns.iter().find(|(_, r)| r.name == name && r.domain == domain).map(|(id, r)| (*id, r.ips.is_empty()));
        let others = known.is_some_and(|(id, bare)| !bare || self.records.values().any(|r| r.resource == id));
        let alias = known.is_some_and(|(id, _)| self.records.values().any(|r| r.resource == id && r.kind == "CNAME"));
        if alias || (kind == "CNAME" && others) {
            return Err(Reply::invalid("__all__", "CNAME records for a name cannot coexist with non-CNAME records."));
        }
        let resource = known.map_or_else(|| self.insert_resource(&name, domain), |(id, _)| id);
        let id = self.next_id("record");
        self.records.insert(id, DnsRecord { resource, kind, data: text, ttl });
        Ok(Reply::json(&self.record_json(id)))
    }

    /// Deletes the record, and its name when nothing is left on it.
    fn delete_record(&mut self, id: u64) {
        let Some(record) = self.records.remove(&id) else {
            return;
        };
        let more = self.records.values().any(|r| r.resource == record.resource);
        if !more && self.dns.get(&record.resource).is_some_and(|r| r.ips.is_empty()) {
            self.dns.remove(&record.resource);
        }
    }

    pub(crate) fn record_json(&self, id: u64) -> Value {
        let Some(record) = self.records.get(&id) else {
            return Value::Null;
        };
        let fqdn = self.dns.get(&record.resource).map(|r| self.resource_fqdn(r));
        json!({
            "id": id, "fqdn": fqdn, "ttl": record.ttl, "rrtype": record.kind, "rrdata": record.data,
            "resource_uri": format!("{API}/dnsresourcerecords/{id}/"),
        })
    }
}

fn check_type(kind: &str) -> Result<(), Reply> {
    if TYPES.iter().any(|t| t.eq_ignore_ascii_case(kind)) {
        Ok(())
    } else {
        Err(Reply::invalid("rrtype", format!("{kind} is not one of {}.", TYPES.join(" "))))
    }
}
