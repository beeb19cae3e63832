//! Control endpoints under `/MAAS/sim/`: the knobs of [`Region`] over HTTP, JSON in and out, no sign-in.
//!
//! Machines are named by `system_id` or host name. Every answer is JSON: the result, `{}` for done, or
//! `{"error": "…"}` with 400 or 404.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `GET /MAAS/sim/counters` | | `{"counters": {op: n}, "reads": n, "writes": n, "unsimulated": {op: n}}` |
//! | `GET /MAAS/sim/requests` | | `[{"number", "at", "method", "path", "operation", "status"}]` |
//! | `POST /MAAS/sim/reset-counters` | | |
//! | `GET /MAAS/sim/machines` | | `[{"system_id", "hostname", "fqdn", "zone", "status", "owner", "agent_name", "owner_data", "powered", "hung", "bmc", "locked", "addresses", "image", "deployment"}]` |
//! | `GET /MAAS/sim/machines/{m}` | | one of these |
//! | `GET /MAAS/sim/machines/{m}/user-data` | | `{"base64"}`: what the metadata service gives out, null without a deployment |
//! | `POST /MAAS/sim/machines` | fields of an inventory machine, e.g. `{"hostname": "x"}` | `{"system_id"}` |
//! | `DELETE /MAAS/sim/machines/{m}` | | |
//! | `POST /MAAS/sim/machines/{m}/power-cord` | `{"plugged": false}` | |
//! | `POST /MAAS/sim/machines/{m}/fail-next-deployment` | `{"error": "text"}` | |
//! | `POST /MAAS/sim/machines/{m}/fail-deployments` | `{"fault": "installer", "reason": "text", "times": 2 \| "always"}`; other faults: `never_reports`, `power`, `not_started` | |
//! | `POST /MAAS/sim/machines/{m}/finish-deployment` | Deployed at once | |
//! | `POST /MAAS/sim/machines/{m}/fail-now` | `{"reason": "text"}`: MAAS gives up what it does with it | |
//! | `POST /MAAS/sim/machines/{m}/fail-erases`, `…/fail-releases`, `…/fail-commissionings`, `…/fail-tests` | `{"times": 2 \| "always"}` | |
//! | `POST /MAAS/sim/machines/{m}/mute` | `{"mute": true}`: boots, but nothing on it runs | |
//! | `POST /MAAS/sim/machines/{m}/hang` | what runs on it stands still until the power has been off | |
//! | `POST /MAAS/sim/machines/{m}/power-button` | `{"on": false}` | |
//! | `POST /MAAS/sim/machines/{m}/power-glitch` | power goes and comes; what ran from memory is lost | |
//! | `POST /MAAS/sim/machines/{m}/mark-broken` | `{"reason": "text"}`: as MAAS itself does | |
//! | `POST /MAAS/sim/machines/{m}/bmc` | `{"state": "works" \| "fails" \| "no_rack" \| "no_tools" \| "silent" \| "lies" \| "late", "seconds": 30}` | |
//! | `POST /MAAS/sim/machines/{m}/lock` | `{"locked": true}` | |
//! | `POST /MAAS/sim/machines/{m}/status` | `{"status": "rescue_mode"}` | |
//! | `POST /MAAS/sim/machines/{m}/owner` | `{"owner": "alice" \| null}` | |
//! | `POST /MAAS/sim/machines/{m}/clear-marks` | | |
//! | `POST /MAAS/sim/region` | `{"outage": "none" \| "unavailable" \| "refuse"}` | |
//! | `POST /MAAS/sim/region/plan-outage` | `{"from": 10, "until": 60, "outage": "unavailable" \| "refuse"}`, seconds from now | |
//! | `POST /MAAS/sim/region/restart` | `{"seconds": 10, "lose_work": false}` | |
//! | `POST /MAAS/sim/region/clock-skew` | `{"seconds": 400}` | |
//! | `GET /MAAS/sim/faults` | | `[{"id", "operation", "machine", "fault", "when", "hits"}]` |
//! | `POST /MAAS/sim/faults` | `{"operation": "POST machines allocate", "machine": "node01", "fault": …, "times": 2}`, or `"chance": 0.1`, or `"script": "x.x"`; faults: `drop_before`, `commit_then_drop`, `commit_then_status` (`status`), `conflict` and `unavailable` (`retry_after`), `gateway` (`status`), `slow` (`seconds`, `until`, or `median` and `sigma`), `slow_body` (`seconds`), `cut_body`, `truncated_text`, `redirect` (`to`) | `{"id"}` |
//! | `DELETE /MAAS/sim/faults`, `/MAAS/sim/faults/{id}` | | |
//! | `POST /MAAS/sim/users/{u}` | `{"admin": false}` | |
//! | `POST /MAAS/sim/users/{u}/keys` | `{"key": "a:b:c"}` | |
//! | `DELETE /MAAS/sim/users/{u}/keys` | `{"key": "a:b:c"}`, or nothing for all | |
//! | `POST /MAAS/sim/images` | fields of an inventory image, e.g. `{"name": "ubuntu/plucky"}` | |
//! | `POST /MAAS/sim/domains` | `{"name": "lab.example"}` | |
//! | `GET /MAAS/sim/dns` | | `{"names": []}` of all DNS resources |
//! | `POST /MAAS/sim/dns` | `{"fqdn": "x.maas", "addresses": ["10.0.0.1"]}` | `{"id"}` |
//! | `GET /MAAS/sim/resolve?name=x.maas` | | `{"addresses": [], "ttl"}`: for how many seconds that may be kept, also that there are none; null outside of our domains |
//! | `POST /MAAS/sim/advance` | `{"seconds": 600}`: the region's time jumps, callers' clocks do not | `{"now"}` |
//! | `POST /MAAS/sim/tick` | | `{"now", "next"}` |

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::Status;
use crate::faults::{Fault, FaultRule, Latency, When};
use crate::form::Params;
use crate::knobs::{KnobError, KnobErrorKind, MachineState};
use crate::region::{Outage, Region};
use crate::specs::{ImageSpec, MachineSpec};
use crate::state::{Bmc, DeployFault};
use crate::zones::RecordKind;

/// Where control endpoints live.
pub const PREFIX: &str = "/MAAS/sim/";

/// The one that is about the shell's clock and not about the region.
pub(crate) const ADVANCE: &str = "/MAAS/sim/advance";

/// How far to put the time forward, from the body `{"seconds": 600}`.
pub(crate) fn seconds_to_advance(request: &Request<Bytes>) -> Option<Duration> {
    let body: Value = serde_json::from_slice(request.body()).ok()?;
    duration(body["seconds"].as_f64()?).ok()
}

/// The answer to that.
pub(crate) fn advanced(now: Timestamp, done: bool) -> Response<Bytes> {
    if done {
        reply(StatusCode::OK, &json!({"now": now.to_string()}))
    } else {
        reply(StatusCode::BAD_REQUEST, &json!({"error": "body: seconds must be a number"}))
    }
}

fn reply(status: StatusCode, value: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("{value:#}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Answers a control call.
pub(crate) fn handle(region: &mut Region, now: Timestamp, request: &Request<Bytes>) -> Response<Bytes> {
    match answer(region, now, request) {
        Ok(value) => reply(StatusCode::OK, &value),
        Err(error) => {
            let status = match error.kind() {
                KnobErrorKind::NotFound => StatusCode::NOT_FOUND,
                KnobErrorKind::Invalid => StatusCode::BAD_REQUEST,
            };
            reply(status, &json!({"error": error.to_string()}))
        }
    }
}

fn answer(region: &mut Region, now: Timestamp, request: &Request<Bytes>) -> Result<Value, KnobError> {
    let body: Value = if request.body().is_empty() {
        json!({})
    } else {
        serde_json::from_slice(request.body()).map_err(|e| KnobError::Invalid(format!("body: {e}")))?
    };
    let text = |key: &str| body[key].as_str().ok_or_else(|| KnobError::Invalid(format!("body: {key} must be a text")));
    let flag =
        |key: &str| body[key].as_bool().ok_or_else(|| KnobError::Invalid(format!("body: {key} must be true or false")));
    let times = || match &body["times"] {
        Value::Null => Ok(Some(1)),
        Value::String(word) if word == "always" => Ok(None),
        other => other
            .as_u64()
            .and_then(|n| u32::try_from(n).ok())
            .map(Some)
            .ok_or_else(|| KnobError::Invalid("body: times must be a number or \"always\"".to_owned())),
    };
    let path: Vec<&str> = request.uri().path().trim_start_matches(PREFIX).trim_end_matches('/').split('/').collect();
    match (request.method().as_str(), path.as_slice()) {
        ("GET", ["counters"]) => Ok(json!({"counters": region.counters(), "reads": region.reads(), "writes": region.writes(), "unsimulated": region.unsimulated()})),
        ("GET", ["requests"]) => Ok(region
            .requests()
            .iter()
            .map(|r| json!({"number": r.number, "at": r.at.to_string(), "method": r.method, "path": r.path, "operation": r.operation, "status": r.status}))
            .collect()),
        ("GET", ["machines"]) => Ok(region.system_ids().iter().filter_map(|id| region.machine(id)).map(|m| machine(&m)).collect()),
        ("GET", ["machines", name]) => region.machine(name).map(|m| machine(&m)).ok_or_else(|| KnobError::NoMachine((*name).to_owned())),
        ("GET", ["machines", name, "user-data"]) => {
            use base64::Engine as _;
            let data = region.user_data(name)?.map(|bytes| base64::engine::general_purpose::STANDARD.encode(bytes));
            Ok(json!({"base64": data}))
        }
        ("GET", ["dns"]) => Ok(json!({"names": region.dns_names()})),
        ("GET", ["resolve"]) => {
            let query = Params::urlencoded(request.uri().query().unwrap_or("").as_bytes());
            let name = query.last("name").unwrap_or("");
            let addresses = region.resolve(now, name);
            // Both families of a name have one TTL; where there are none of either, the answers are negative alike.
            let kind = if addresses.iter().any(IpAddr::is_ipv4) { RecordKind::A } else { RecordKind::Aaaa };
            Ok(json!({"addresses": addresses, "ttl": region.look_up(now, name, kind).ttl()}))
        }
        ("POST", ["machines"]) => {
            let spec: MachineSpec = serde_json::from_value(body).map_err(|e| KnobError::Invalid(format!("body: {e}")))?;
            Ok(json!({"system_id": region.add_machine(now, spec)?}))
        }
        ("DELETE", ["machines", name]) => region.remove_machine(now, name).map(|()| json!({})),
        ("POST", ["machines", name, knob]) => {
            match *knob {
                "power-cord" => region.set_power_cord(now, name, flag("plugged")?)?,
                "fail-deployments" => {
                    let fault = match text("fault")? {
                        "installer" => DeployFault::Installer(text("reason")?.to_owned()),
                        "never_reports" => DeployFault::NeverReports,
                        "power" => DeployFault::Power,
                        "not_started" => DeployFault::NotStarted,
                        other => return Err(KnobError::Invalid(format!("no deployment fault {other}"))),
                    };
                    region.fail_deployments(now, name, fault, times()?)?;
                }
                "fail-commissionings" => region.fail_commissionings(now, name, times()?)?,
                "fail-tests" => region.fail_tests(now, name, times()?)?,
                "finish-deployment" => region.finish_deployment(now, name)?,
                "fail-now" => region.fail_now(now, name, text("reason")?)?,
                "fail-erases" => region.fail_erases(now, name, times()?)?,
                "fail-releases" => region.fail_releases(now, name, times()?)?,
                "mute" => region.set_mute(now, name, flag("mute")?)?,
                "hang" => region.hang(now, name)?,
                "power-button" => region.press_power_button(now, name, flag("on")?)?,
                "power-glitch" => region.glitch_power(now, name)?,
                "mark-broken" => region.mark_broken_by_system(now, name, text("reason")?)?,
                "fail-next-deployment" => region.fail_next_deployment(now, name, text("error")?)?,
                "bmc" => {
                    let seconds = body["seconds"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(30);
                    region.set_bmc(now, name, bmc(text("state")?, seconds)?)?;
                }
                "lock" => region.set_locked(now, name, flag("locked")?)?,
                "status" => {
                    let status = Status::from_filter(text("status")?).ok_or_else(|| KnobError::Invalid("body: status is not one of MAAS".to_owned()))?;
                    region.set_status(now, name, status)?;
                }
                "owner" => region.set_owner(now, name, body["owner"].as_str())?,
                "clear-marks" => region.clear_marks(now, name)?,
                other => return Err(KnobError::Invalid(format!("no control {other}"))),
            }
            Ok(json!({}))
        }
        ("POST", ["region"]) => {
            let outage = match text("outage")? {
                "none" => None,
                "unavailable" => Some(Outage::Unavailable),
                "refuse" => Some(Outage::Refuse),
                other => return Err(KnobError::Invalid(format!("no outage {other}"))),
            };
            region.set_outage(now, outage);
            Ok(json!({}))
        }
        ("POST", ["region", "plan-outage"]) => {
            let time = |key: &str| -> Result<Timestamp, KnobError> {
                let seconds = body[key].as_f64().ok_or_else(|| KnobError::Invalid(format!("body: {key} must be seconds from now")))?;
                now.checked_add(duration(seconds)?).map_err(|e| KnobError::Invalid(e.to_string()))
            };
            let refuse = text("outage").is_ok_and(|o| o == "refuse");
            region.plan_outage(now, time("from")?, time("until")?, if refuse { Outage::Refuse } else { Outage::Unavailable });
            Ok(json!({}))
        }
        ("POST", ["region", "restart"]) => {
            let down = duration(body["seconds"].as_f64().unwrap_or(10.0))?;
            region.restart(now, down, body["lose_work"].as_bool().unwrap_or(false));
            Ok(json!({}))
        }
        ("POST", ["region", "clock-skew"]) => {
            let seconds = body["seconds"].as_i64().ok_or_else(|| KnobError::Invalid("body: seconds must be a number".to_owned()))?;
            region.set_clock_skew(jiff::SignedDuration::from_secs(seconds));
            Ok(json!({}))
        }
        ("GET", ["faults"]) => Ok(region
            .faults()
            .iter()
            .map(|(id, rule, hits)| json!({"id": id, "operation": rule.operation, "machine": rule.machine, "fault": format!("{:?}", rule.fault), "when": format!("{:?}", rule.when), "hits": hits}))
            .collect()),
        ("POST", ["faults"]) => Ok(json!({"id": region.add_fault(rule(&body)?)})),
        ("DELETE", ["faults"]) => {
            region.clear_faults();
            Ok(json!({}))
        }
        ("DELETE", ["faults", id]) => match id.parse().is_ok_and(|id| region.remove_fault(id)) {
            true => Ok(json!({})),
            false => Err(KnobError::NoMachine(format!("or fault {id}"))),
        },
        ("POST", ["users", name]) => {
            region.set_admin(name, flag("admin")?);
            Ok(json!({}))
        }
        ("POST", ["users", name, "keys"]) => region.add_api_key(name, text("key")?).map(|()| json!({})),
        ("DELETE", ["users", name, "keys"]) => region.revoke_api_keys(name, body["key"].as_str()).map(|()| json!({})),
        ("POST", ["dns"]) => {
            let addresses: Vec<IpAddr> = serde_json::from_value(body["addresses"].clone()).map_err(|e| KnobError::Invalid(format!("body: addresses: {e}")))?;
            Ok(json!({"id": region.add_dns_resource(now, text("fqdn")?, &addresses)?}))
        }
        ("POST", ["images"]) => {
            let image: ImageSpec = serde_json::from_value(body).map_err(|e| KnobError::Invalid(format!("body: {e}")))?;
            region.add_image(now, image);
            Ok(json!({}))
        }
        ("POST", ["domains"]) => {
            region.add_domain(now, text("name")?);
            Ok(json!({}))
        }
        ("POST", ["reset-counters"]) => {
            region.reset_counters();
            Ok(json!({}))
        }
        ("POST", ["tick"]) => {
            let next = region.tick(now);
            Ok(json!({"now": region.now().to_string(), "next": next.map(|t| t.to_string())}))
        }
        (method, _) => Err(KnobError::Invalid(format!("no control {method} {}", request.uri().path()))),
    }
}

fn duration(seconds: f64) -> Result<Duration, KnobError> {
    Duration::try_from_secs_f64(seconds).map_err(|e| KnobError::Invalid(format!("body: {e}")))
}

/// A fault in JSON.
fn rule(body: &Value) -> Result<FaultRule, KnobError> {
    let wrong = |text: String| KnobError::Invalid(format!("body: {text}"));
    let number = |key: &str| body[key].as_f64().ok_or_else(|| wrong(format!("{key} must be a number")));
    let whole = |key: &str, otherwise: u32| body[key].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(otherwise);
    let status = |otherwise: u32| u16::try_from(whole("status", otherwise)).unwrap_or(500);
    let fault = match body["fault"].as_str().unwrap_or("") {
        "drop_before" => Fault::DropBefore,
        "commit_then_drop" => Fault::CommitThenDrop,
        "commit_then_status" => Fault::CommitThenStatus(status(500)),
        "conflict" => Fault::Conflict { retry_after: whole("retry_after", 5) },
        "unavailable" => {
            Fault::Unavailable { retry_after: body["retry_after"].as_u64().and_then(|n| u32::try_from(n).ok()) }
        }
        "gateway" => Fault::Gateway(status(502)),
        "slow" => Fault::Slow(match (body["median"].as_f64(), body["until"].as_f64()) {
            (Some(median), _) => {
                Latency::LogNormal { median: duration(median)?, sigma: body["sigma"].as_f64().unwrap_or(1.0) }
            }
            (None, Some(until)) => Latency::Uniform(duration(number("seconds")?)?, duration(until)?),
            (None, None) => Latency::Fixed(duration(number("seconds")?)?),
        }),
        "slow_body" => Fault::SlowBody(duration(number("seconds")?)?),
        "cut_body" => Fault::CutBody,
        "truncated_text" => Fault::TruncatedText,
        "redirect" => Fault::Redirect(body["to"].as_str().unwrap_or("https://127.0.0.1:5443/MAAS/").to_owned()),
        other => return Err(wrong(format!("no fault {other:?}"))),
    };
    let when = match (&body["times"], body["chance"].as_f64(), body["script"].as_str()) {
        (_, Some(chance), _) => When::Chance(chance),
        (_, _, Some(script)) => When::Script(script.to_owned()),
        (Value::Number(_), ..) => When::Times(whole("times", 1)),
        _ => When::Always,
    };
    let text = |key: &str| body[key].as_str().map(str::to_owned);
    Ok(FaultRule { operation: text("operation"), machine: text("machine"), fault, when })
}

const BMCS: [(&str, Bmc); 6] = [
    ("works", Bmc::Works),
    ("fails", Bmc::Fails),
    ("no_rack", Bmc::NoRack),
    ("no_tools", Bmc::NoTools),
    ("silent", Bmc::Silent),
    ("lies", Bmc::Lies),
];

fn bmc(text: &str, seconds: u32) -> Result<Bmc, KnobError> {
    if text == "late" {
        return Ok(Bmc::Late { seconds });
    }
    let found = BMCS.iter().find(|(name, _)| *name == text).map(|(_, bmc)| *bmc);
    found.ok_or_else(|| KnobError::Invalid(format!("no BMC state {text}")))
}

fn machine(m: &MachineState) -> Value {
    let bmc = BMCS.iter().find(|(_, bmc)| *bmc == m.bmc).map_or("late", |(name, _)| name);
    json!({
        "system_id": m.system_id, "hostname": m.hostname, "fqdn": m.fqdn, "zone": m.zone, "status": m.status.filter_value(), "owner": m.owner, "agent_name": m.agent_name,
        "owner_data": m.owner_data, "powered": m.powered, "hung": m.hung, "bmc": bmc, "locked": m.locked, "addresses": m.addresses, "image": m.image, "deployment": m.deployment,
    })
}
