//! Ranges of addresses that are set aside, for DHCP or for what MAAS does not manage (reference §2.8).

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::form::Params;
use crate::net::{number, within};
use crate::region::Region;
use crate::reply::{Answer, FieldErrors, Reply};
use crate::route::Call;
use crate::state::{AllocType, IpRange};
use crate::view::API;

const REQUIRED: &str = "This field is required.";

impl Region {
    fn range_json(&self, id: u64) -> Value {
        let Some(range) = self.ranges.get(&id) else {
            return Value::Null;
        };
        json!({
            "id": id, "type": if range.dynamic { "dynamic" } else { "reserved" }, "start_ip": range.start, "end_ip": range.end, "comment": range.comment,
            "user": range.user.as_deref().map(|u| self.user_json(u)), "subnet": self.subnet_json(range.subnet), "resource_uri": format!("{API}/ipranges/{id}/"),
        })
    }

    pub(crate) fn answer_ranges(&mut self, call: &Call) -> Answer {
        let data = &call.form.data;
        if !call.is_single() {
            if call.method() == "GET" {
                return Ok(Reply::list(self.ranges.keys().map(|id| self.range_json(*id)).collect()));
            }
            let dynamic = match data.last("type") {
                Some("dynamic") => true,
                Some("reserved") => false,
                Some(other) => return Err(Reply::invalid("type", format!("Value '{other}' is not a valid choice."))),
                None => return Err(Reply::invalid("type", REQUIRED)),
            };
            let _ = dynamic
                .then(|| {
                    call.admin_or(Reply::text(
                        403,
                        "Unable to create dynamic IP range. You don't have sufficient privileges.",
                    ))
                })
                .transpose()?;
            let (start, end) = range_ends(data, None)?;
            let subnet = data.last("subnet").and_then(|s| self.subnet_spec(s)).or_else(|| self.subnet_of(start));
            let subnet = subnet.ok_or_else(|| Reply::invalid("subnet", REQUIRED))?;
            let range = IpRange {
                subnet,
                dynamic,
                start,
                end,
                comment: data.last("comment").unwrap_or("").to_owned(),
                user: Some(call.caller.user.clone()),
            };
            self.check_range(None, &range)?;
            let id = self.next_id("range");
            self.ranges.insert(id, range);
            return Ok(Reply::json(&self.range_json(id)));
        }
        let id = call
            .key
            .parse::<u64>()
            .ok()
            .filter(|id| self.ranges.contains_key(id))
            .ok_or_else(|| Reply::missing("IPRange"))?;
        let own = self.ranges.get(&id).is_some_and(|r| r.user.as_deref() == Some(call.caller.user.as_str()));
        if call.method() != "GET" && !own {
            call.admin_or(Reply::text(403, "Unable to modify IP range. You don't own the IP range."))?;
        }
        match call.method() {
            "DELETE" => {
                self.ranges.remove(&id);
                return Ok(Reply::no_content());
            }
            "PUT" => {
                let Some(mut range) = self.ranges.get(&id).cloned() else {
                    return Err(Reply::missing("IPRange"));
                };
                (range.start, range.end) = range_ends(data, Some((range.start, range.end)))?;
                if let Some(comment) = data.last("comment") {
                    comment.clone_into(&mut range.comment);
                }
                self.check_range(Some(id), &range)?;
                self.ranges.insert(id, range);
            }
            _ => {}
        }
        Ok(Reply::json(&self.range_json(id)))
    }

    fn check_range(&self, own: Option<u64>, range: &IpRange) -> Result<(), Reply> {
        let Some(subnet) = self.subnets.get(&range.subnet) else {
            return Err(Reply::missing("Subnet"));
        };
        let mut errors = FieldErrors::default();
        for (field, ip) in [("start_ip", range.start), ("end_ip", range.end)] {
            if !subnet.cidr.contains(&ip) {
                errors.add(field, "IP addresses must be within subnet: ".to_owned() + &subnet.cidr.to_string() + ".");
            }
        }
        if number(range.start) > number(range.end) {
            errors.add("end_ip", "End IP address must not be less than Start IP address.");
        }
        errors.check()?;
        let clash = |other: &IpRange| {
            other.subnet == range.subnet
                && (within(other, range.start) || within(other, range.end) || within(range, other.start))
        };
        let over_range = self.ranges.iter().any(|(id, other)| Some(*id) != own && clash(other));
        let used = self.by_ip.range(range.start..=range.end);
        let over_used = range.dynamic
            && used.into_iter().any(|(_, row)| self.ips.get(row).is_some_and(|r| r.alloc != AllocType::Discovered));
        if over_range || over_used {
            let kind = if range.dynamic { "dynamic" } else { "reserved" };
            let text = format!(
                "Requested {kind} range conflicts with an existing {}range.",
                if range.dynamic { "IP address or " } else { "" }
            );
            let mut errors = FieldErrors::default();
            errors.add("start_ip", text.clone());
            errors.add("end_ip", text);
            return errors.check();
        }
        Ok(())
    }
}

fn range_ends(data: &Params, known: Option<(IpAddr, IpAddr)>) -> Result<(IpAddr, IpAddr), Reply> {
    let end = |field: &str, known: Option<IpAddr>| match (data.last(field), known) {
        (Some(text), _) => {
            text.parse::<IpAddr>().map_err(|_| Reply::invalid(field, "Enter a valid IPv4 or IPv6 address."))
        }
        (None, Some(ip)) => Ok(ip),
        (None, None) => Err(Reply::invalid(field, REQUIRED)),
    };
    Ok((end("start_ip", known.map(|k| k.0))?, end("end_ip", known.map(|k| k.1))?))
}
