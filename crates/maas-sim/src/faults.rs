//! What goes wrong between a client and the region, by a person's wish: decided here, carried out by shells.
//!
//! A [`FaultRule`] says what happens to which requests, and when. The region decides with a random number generator of its
//! own, so faults are the same in each run of a seed and do not change what else is random.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;

use crate::region::{Held, Outage, Region};
use crate::reply::Reply;

/// A way in which a request or its answer suffers.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// The connection breaks before the region saw the request.
    DropBefore,
    /// The region does it, then the connection breaks: nothing tells the client.
    CommitThenDrop,
    /// The region does it and answers that status all the same: 500 in plain text, 502 and 504 in the proxy's HTML.
    CommitThenStatus(u16),
    /// 409 with `Retry-After` and an HTML body, as after a transaction that was rolled back. Nothing was done.
    Conflict {
        /// Seconds; MAAS says 5.
        retry_after: u32,
    },
    /// 503 in plain text, with `Retry-After` or without. Nothing was done.
    Unavailable {
        /// Seconds.
        retry_after: Option<u32>,
    },
    /// 502 or 504 in the HTML of the proxy in front. Nothing was done.
    Gateway(u16),
    /// The answer is late.
    Slow(Latency),
    /// Half of the body comes at once, the other half that much later.
    SlowBody(Duration),
    /// The connection breaks in the middle of the body. The region did what it was asked.
    CutBody,
    /// The answer is whole as HTTP but its text ends in the middle. The region did what it was asked.
    TruncatedText,
    /// 301 to that address. Nothing was done.
    Redirect(String),
}

/// How long something takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Latency {
    /// Always that long.
    Fixed(Duration),
    /// Anything between the two.
    Uniform(Duration, Duration),
    /// Half of all below the median, few far above it, as real servers are: the logarithm is normal.
    LogNormal {
        /// The median.
        median: Duration,
        /// Standard deviation of the logarithm; 1 spreads to about tenfold.
        sigma: f64,
    },
}

impl Latency {
    fn sample(self, rng: &mut fastrand::Rng) -> Duration {
        match self {
            Self::Fixed(time) => time,
            Self::Uniform(from, to) => from + to.saturating_sub(from).mul_f64(rng.f64()),
            Self::LogNormal { median, sigma } => {
                // The sum of twelve uniform numbers is normal enough, and the same on every machine.
                let normal = (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
                Duration::try_from_secs_f64(median.as_secs_f64() * (normal * sigma).exp()).unwrap_or(Duration::MAX)
            }
        }
    }
}

/// When a fault happens to a request that its rule is about.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// Each time.
    Always,
    /// The next so many times.
    Times(u32),
    /// By that chance.
    Chance(f64),
    /// One letter per request: `x` for the fault, anything else for none; none after the last.
    Script(String),
}

/// What happens to which requests.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRule {
    /// Operation as it is counted, e.g. `POST machines allocate` or `GET machine`; `GET` and `POST machine` stand for all
    /// that begin so. `None` for every request.
    pub operation: Option<String>,
    /// Only requests about this machine, by `system_id` or host name.
    pub machine: Option<String>,
    /// What happens.
    pub fault: Fault,
    /// How often.
    pub when: When,
}

impl FaultRule {
    /// A rule about an operation.
    #[must_use]
    pub fn on(operation: &str, fault: Fault, when: When) -> Self {
        Self { operation: Some(operation.to_owned()).filter(|o| !o.is_empty()), machine: None, fault, when }
    }
}

/// A rule with what is left of it.
#[derive(Debug)]
pub(crate) struct ActiveRule {
    pub(crate) id: u64,
    pub(crate) rule: FaultRule,
    seen: usize,
    hits: u64,
}

/// How an answer reaches the client.
#[derive(Debug)]
pub enum Delivery {
    /// Not at all: the connection breaks.
    Dropped,
    /// So.
    Answer {
        /// The answer.
        response: Response<Bytes>,
        /// Time until its head.
        hold: Duration,
        /// The second half of the body comes that much later.
        pause: Option<Duration>,
        /// The connection breaks after half of the body.
        cut: bool,
    },
}

impl Delivery {
    fn plain(response: Response<Bytes>) -> Self {
        let hold = response.extensions().get::<Held>().map_or(Duration::ZERO, |held| held.0);
        Self::Answer { response, hold, pause: None, cut: false }
    }
}

impl Region {
    /// Adds a fault; answers the number that [`Region::remove_fault`] takes. Rules are asked in order, the first that
    /// happens counts.
    pub fn add_fault(&mut self, rule: FaultRule) -> u64 {
        let id = self.next_id("fault");
        self.rules.push(ActiveRule { id, rule, seen: 0, hits: 0 });
        id
    }

    /// Takes a fault away; false if there is none of that number.
    pub fn remove_fault(&mut self, id: u64) -> bool {
        let before = self.rules.len();
        self.rules.retain(|r| r.id != id);
        before != self.rules.len()
    }

    /// Takes all faults away.
    pub fn clear_faults(&mut self) {
        self.rules.clear();
    }

    /// Number, rule and how often it happened, for each.
    #[must_use]
    pub fn faults(&self) -> Vec<(u64, FaultRule, u64)> {
        self.rules.iter().map(|r| (r.id, r.rule.clone(), r.hits)).collect()
    }

    /// As [`Region::handle`], with the faults that were asked for: says how the answer is to be delivered.
    pub fn deliver(&mut self, now: Timestamp, request: Request<Bytes>) -> Delivery {
        self.tick(now);
        if self.rules.is_empty() {
            return Delivery::plain(self.handle(now, request));
        }
        let (operation, key) = crate::route::named(&request);
        let Some(fault) = self.choose_fault(&operation, &key) else {
            return Delivery::plain(self.handle(now, request));
        };
        let refuse = |region: &mut Self, reply: Reply| {
            region.count(&request, operation.clone(), reply.status());
            Delivery::plain(reply.into_response(None))
        };
        match fault {
            Fault::DropBefore => Delivery::Dropped,
            Fault::Conflict { retry_after } => {
                let page = "<html><head><title>Conflict error. Try your request again.</title></head></html>";
                refuse(self, Reply::html(409, page).with("retry-after", retry_after.to_string()))
            }
            Fault::Unavailable { retry_after } => {
                let reply =
                    Reply::text(503, "Unable to connect to any rack controller labrck; no connections available.");
                refuse(
                    self,
                    match retry_after {
                        Some(seconds) => reply.with("retry-after", seconds.to_string()),
                        None => reply,
                    },
                )
            }
            Fault::Gateway(status) => refuse(self, gateway(status)),
            Fault::Redirect(target) => refuse(
                self,
                Reply::html(301, "<html><head><title>301 Moved Permanently</title></head></html>")
                    .with("location", target),
            ),
            Fault::CommitThenDrop => {
                self.handle(now, request);
                Delivery::Dropped
            }
            Fault::CommitThenStatus(status) => {
                self.handle(now, request);
                Delivery::plain(gateway(status).into_response(None))
            }
            Fault::Slow(latency) => {
                let late = latency.sample(&mut self.fault_rng);
                match Delivery::plain(self.handle(now, request)) {
                    Delivery::Answer { response, hold, pause, cut } => {
                        Delivery::Answer { response, hold: hold + late, pause, cut }
                    }
                    Delivery::Dropped => Delivery::Dropped,
                }
            }
            Fault::SlowBody(_) | Fault::CutBody => {
                let (pause, cut) = match fault {
                    Fault::SlowBody(time) => (Some(time), false),
                    _ => (None, true),
                };
                match Delivery::plain(self.handle(now, request)) {
                    Delivery::Answer { response, hold, .. } => Delivery::Answer { response, hold, pause, cut },
                    Delivery::Dropped => Delivery::Dropped,
                }
            }
            Fault::TruncatedText => {
                let response = self.handle(now, request);
                let half = response.body().len() / 2;
                Delivery::plain(response.map(|body| body.slice(..half)))
            }
        }
    }

    /// The fault that this request meets.
    fn choose_fault(&mut self, operation: &str, key: &str) -> Option<Fault> {
        let machine = self.find(key).map(|m| (m.system_id.clone(), m.hostname.clone()));
        let rng = &mut self.fault_rng;
        for active in &mut self.rules {
            let begins = |wanted: &String| {
                operation == wanted || operation.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.starts_with(' '))
            };
            let about = |wanted: &String| machine.as_ref().is_some_and(|(id, host)| id == wanted || host == wanted);
            if !active.rule.operation.as_ref().is_none_or(begins) || !active.rule.machine.as_ref().is_none_or(about) {
                continue;
            }
            let at = active.seen;
            active.seen += 1;
            let hit = match &active.rule.when {
                When::Always => true,
                When::Times(times) => at < usize::try_from(*times).unwrap_or(usize::MAX),
                When::Chance(chance) => rng.f64() < *chance,
                When::Script(script) => script.as_bytes().get(at) == Some(&b'x'),
            };
            if hit {
                active.hits += 1;
                return Some(active.rule.fault.clone());
            }
        }
        None
    }

    /// Takes the region down at `from` and up again at `until`. What goes on with machines goes on.
    pub fn plan_outage(&mut self, now: Timestamp, from: Timestamp, until: Timestamp, outage: Outage) {
        self.tick(now);
        for (at, to) in [(from, Some(outage)), (until, None)] {
            let number = self.next_id("agenda");
            self.agenda.insert((at.max(self.now), number), crate::state::Due::Outage(to));
        }
    }

    /// The region restarts: connections are refused for that long. Where its in-flight work is lost, deployments, erases,
    /// releases and commissionings stand where they are until their watchdogs end them, if they have one.
    pub fn restart(&mut self, now: Timestamp, down: Duration, lose_work: bool) {
        self.tick(now);
        if lose_work {
            self.agenda.retain(|_, due| match due {
                crate::state::Due::Step { step, .. } => step.survives_restart(),
                _ => true,
            });
        }
        let until = self.now.checked_add(down).unwrap_or(Timestamp::MAX);
        self.plan_outage(now, now, until, Outage::Refuse);
        self.tick(now);
    }

    /// Lets the region's clock differ from that of its callers, as far as it judges their signatures: positive, it is
    /// ahead.
    pub fn set_clock_skew(&mut self, skew: jiff::SignedDuration) {
        self.skew = skew;
    }
}

/// An error page of the proxy, or of Django for what the proxy does not make.
fn gateway(status: u16) -> Reply {
    let title = match status {
        502 => "502 Bad Gateway",
        503 => "503 Service Temporarily Unavailable",
        504 => "504 Gateway Time-out",
        other => return Reply::text(other, "Internal Server Error"),
    };
    Reply::html(
        status,
        format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
        ),
    )
}
