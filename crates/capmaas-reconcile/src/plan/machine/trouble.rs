//! What goes wrong with a host, and what is done about it: by itself only what is careful, the rest by the user's policy.

use capi_types::{FailedHostAction, WhenOff, WhenReleaseFails};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::hosted::said;
use super::*;
use crate::stores::Releases;

/// So many releases of one host may fail before policy decides.
const RELEASES: u32 = 3;
/// After the first failed release; doubles.
const RELEASE_AGAIN: SignedDuration = SignedDuration::from_mins(1);
/// After the third.
const RELEASE_SELDOM: SignedDuration = SignedDuration::from_hours(1);
/// Power-ons are counted within this time.
const POWER_WINDOW: SignedDuration = SignedDuration::from_hours(1);
/// A machine that was powered on has this long to show it in MAAS, whose racks ask BMCs every five minutes.
const POWER_SHOWS: SignedDuration = SignedDuration::from_mins(6);
/// A note of a power-on that this process did not act upon is acted upon when it is not older than this.
const NOTE_COUNTS: SignedDuration = SignedDuration::from_secs(60);
/// A machine that runs this long without a Node: MAAS is asked what befell it.
const ASK_WHY: SignedDuration = SignedDuration::from_mins(5);
/// Longest text from MAAS in a condition, in characters.
const TOLD: usize = 700;
/// Longest comment that MAAS gets, in characters: its field holds 255.
const COMMENT: usize = 240;

impl Pass<'_, '_> {
    // ---- a deployment failed

    /// The installation failed: say why, remember it for the cluster, keep the host from coming back by policy, release it.
    pub(super) fn deploy_failed(&mut self, view: &HostView, token: Token) -> Option<Step> {
        let seen = self.seen;
        self.waiting.on(Topic::Story(view.id.clone()));
        let why = self.told(view);
        let failures = seen.failed.get(&view.id).map_or(1, |known| known.failures);
        let policy = seen.maas_cluster.and_then(|c| c.spec.failed_hosts.clone()).unwrap_or_default();
        let refused = match seen.memory.attempts.get(&StepKind::Quarantine).map(|attempt| &attempt.fault) {
            Some(Fault::Rejected { message, .. }) => Some(message.as_str()),
            _ => None,
        };
        let order = match policy.action {
            _ if failures < u32::from(policy.after) || refused.is_some() => None,
            FailedHostAction::Leave => None,
            FailedHostAction::MarkBroken => Some(QuarantineOrder::Broken { comment: self.verdict(failures, &why) }),
            FailedHostAction::Tag if view.tags.contains(&policy.tag) => None,
            FailedHostAction::Tag => {
                Some(QuarantineOrder::Tag { tag: policy.tag.clone(), comment: self.verdict(failures, &why) })
            }
        };
        let end = match (&order, refused) {
            (Some(QuarantineOrder::Broken { .. }), _) => "it is marked broken, another machine is chosen".to_owned(),
            (Some(QuarantineOrder::Tag { tag, .. }), _) => {
                format!("it is tagged {tag} and released, another machine is chosen")
            }
            (None, Some(refused)) => {
                format!("spec.failedHosts could not be done ({refused}); it is released, another machine is chosen")
            }
            (None, None) => "it is released, another machine is chosen".to_owned(),
        };
        let message = format!("deployment on {} failed: {why}; {end}", view.hostname);
        self.not_yet(&Why::new(reason::MACHINE_DEPLOY_FAILED, message));
        if seen.story.is_none() || !self.failure_is_noted(view, &token) {
            return None;
        }
        if let Some(order) = order {
            if self.waiting.backs_off(seen.memory, StepKind::Quarantine) {
                return None;
            }
            return Some(Step::Quarantine { host: view.id.clone(), token, order });
        }
        if self.failing(StepKind::Release) {
            return None;
        }
        self.release(view.id.clone(), token, "deployment failed")
    }

    /// What a person reads on the machine in MAAS.
    fn verdict(&self, failures: u32, why: &str) -> String {
        let cluster = self.seen.cluster.as_ref().map(|(cluster, _)| cluster.to_string()).unwrap_or_default();
        let signature = QuarantineOrder::SIGNATURE;
        let text = format!("{signature}{failures} failed deployments for cluster {cluster}, the last: {why}");
        text.replace(['\n', '\r'], " ").chars().take(COMMENT).collect()
    }

    /// Whether the MaasCluster has this failure; it is not waited for when nobody writes there.
    pub(super) fn failure_is_noted(&mut self, view: &HostView, token: &Token) -> bool {
        let seen = self.seen;
        let (Some(maas_cluster), Some((name, _))) = (seen.maas_cluster, &seen.cluster) else { return true };
        let meta = &maas_cluster.metadata;
        let ending = seen.cluster.as_ref().is_none_or(|(_, c)| c.is_none_or(CoreCluster::is_deleting));
        let paused = meta.annotations.as_ref().is_some_and(|a| a.contains_key(PAUSED_ANNOTATION));
        if maas_cluster.is_externally_managed() || ending || paused || meta.deletion_timestamp.is_some() {
            return true;
        }
        self.waiting.on(Topic::Cluster(name.clone()));
        seen.failed_noted.has(&view.id, token, self.now)
    }

    /// What MAAS says of a host that is in trouble: its own description, the latest errors, the end of the installation's log.
    fn told(&self, view: &HostView) -> String {
        let said = said(view).trim_end_matches('.');
        let mut parts = vec![said.to_owned()];
        if let Some(story) = self.seen.story {
            let errors = story.errors.iter().map(|(_, text)| text.as_str()).filter(|text| !said.contains(*text));
            parts.extend(errors.take(2).map(|text| text.trim_end_matches('.').to_owned()));
            if !story.log_tail.is_empty() {
                parts.push(format!("the installation's log ends with: {}", story.log_tail));
            }
        }
        parts.join("; ").chars().take(TOLD).collect()
    }

    // ---- a release failed

    /// The release, or the erasing of disks, failed: again a few times, then policy.
    pub(super) fn release_failed(&mut self, view: &HostView, token: Token) -> Option<Step> {
        let seen = self.seen;
        let done = seen.memory.releases.as_ref().filter(|releases| releases.host == view.id);
        let count = done.map_or(0, |releases| releases.count);
        let policy = seen.object.spec.release.as_ref().map(|release| release.when_failing).unwrap_or_default();
        let what = format!("machine {}: {} ({})", view.hostname, view.status_name, said(view));
        let again = match done {
            None => self.now,
            Some(Releases { at, .. }) if count >= RELEASES => *at + RELEASE_SELDOM,
            Some(Releases { at, .. }) => *at + RELEASE_AGAIN * 2i32.saturating_pow(count.saturating_sub(1)),
        };
        if count < RELEASES {
            let message = format!("{what}; it is tried again");
            self.release_trouble(&Why::new(reason::RELEASE_FAILED, message));
        } else if policy == WhenReleaseFails::MarkBroken {
            let message = format!("{what}, three times; it is marked broken and let go (spec.release.whenFailing)");
            self.release_trouble(&Why::new(reason::RELEASE_FAILED, message));
            let signature = QuarantineOrder::SIGNATURE;
            let comment = format!(
                "{signature}release failed three times, disks may hold data of {}: {}",
                self.name(),
                said(view)
            );
            let comment = comment.replace(['\n', '\r'], " ").chars().take(COMMENT).collect();
            if self.failing(StepKind::Quarantine) {
                return None;
            }
            return Some(Step::Quarantine { host: view.id.clone(), token, order: QuarantineOrder::Broken { comment } });
        } else {
            let message = format!(
                "{what}, three times, and is tried again every hour; look at the machine and release it in MAAS, or let go of it with \
                 annotation {ABANDON_ANNOTATION}: {}",
                view.id
            );
            self.release_trouble(&Why::new(reason::RELEASE_FAILED, message));
        }
        if again > self.now {
            self.waiting.at(again);
            return None;
        }
        if self.failing(StepKind::Release) {
            return None;
        }
        let why = if self.deleting() { "MaasMachine deleted" } else { "deployment failed" };
        self.release(view.id.clone(), token, why)
    }

    fn release_trouble(&mut self, why: &Why) {
        if self.deleting() { self.wanted.no(conditions::READY, why) } else { self.not_yet(why) }
    }

    // ---- power

    /// A machine that runs from memory and was off has lost its system, and stays lost when the power comes back.
    pub(super) fn in_memory_system_lost(&mut self, view: &HostView) -> bool {
        let seen = self.seen;
        if !view.in_memory && !seen.object.spec.deploy_in_memory {
            return false;
        }
        let standing = seen.object.status.as_ref().map_or(&[][..], |status| &status.conditions);
        let told = conditions::find(standing, conditions::MACHINE_DEPLOYED)
            .is_some_and(|c| c.reason == reason::IN_MEMORY_SYSTEM_LOST);
        let lost = match view.phase {
            HostPhase::Deployed => view.power == Power::Off,
            // MAAS installs it anew, without bootstrap data.
            HostPhase::Deploying => true,
            _ => false,
        };
        if lost || told {
            let message = format!(
                "machine {} was deployed into memory and lost power: its system is gone; delete the Machine to replace it",
                view.hostname
            );
            self.terminal(reason::IN_MEMORY_SYSTEM_LOST, message);
        }
        lost || told
    }

    /// Deployed, and MAAS knows that it is off.
    pub(super) fn powered_off(&mut self, view: &HostView, token: &Token) -> Option<Step> {
        let seen = self.seen;
        self.wanted.yes(conditions::MACHINE_DEPLOYED, reason::MACHINE_DEPLOYED);
        self.status.ready = false;
        let hostname = &view.hostname;
        if let Some(by) = seen.remedied_by {
            // One decides on its power: what is off for a moment is not to be switched on by two.
            let message = format!("machine {hostname} is powered off, its power is MaasRemediation {}'s", by.name);
            self.wanted.no(conditions::READY, &Why::new(reason::POWER_CYCLING, message));
            return None;
        }
        let policy = seen.object.spec.power.clone().unwrap_or_default();
        let leaving = seen.machine.as_ref().is_some_and(|(_, m)| m.is_some_and(CoreMachine::is_deleting));
        if policy.when_off == WhenOff::Report || leaving || view.locked {
            let message = format!("machine {hostname} is powered off");
            self.wanted.no(conditions::READY, &Why::new(reason::MACHINE_POWERED_OFF, message));
            return None;
        }
        self.status.powered_on.retain(|time| time.0 + POWER_WINDOW > self.now);
        // What this process did counts also when its note was written over.
        let last = self.status.powered_on.iter().map(|time| time.0).max().max(seen.memory.powered);
        let comment = format!("{}{}: spec.power.whenOff", QuarantineOrder::SIGNATURE, self.name());
        let to = PowerOrder::On;
        let step = |noted| Step::Power { host: view.id.clone(), token: token.clone(), to, comment, noted };
        if let Some(last) = last {
            // Noted and not done: it was to be done, now or by the process before this one.
            let open = seen.memory.powered.is_none_or(|done| done < last) && last + NOTE_COUNTS > self.now;
            if open || last + POWER_SHOWS > self.now {
                let message = format!("machine {hostname} was off and is powered on (spec.power.whenOff)");
                self.wanted.no(conditions::READY, &Why::new(reason::POWERING_ON, message));
            }
            if open {
                return (!self.failing(StepKind::Power)).then(|| step(last));
            }
            if last + POWER_SHOWS > self.now {
                self.waiting.at(last + POWER_SHOWS);
                return None;
            }
        }
        if self.status.powered_on.len() >= usize::from(policy.at_most) {
            let message = format!(
                "machine {hostname} is powered off again, and was powered on {} times within an hour (spec.power.atMost); look at its power",
                policy.at_most
            );
            self.wanted.no(conditions::READY, &Why::new(reason::POWER_LIMIT_REACHED, message));
            if let Some(first) = self.status.powered_on.iter().map(|time| time.0).min() {
                self.waiting.at(first + POWER_WINDOW);
            }
            return None;
        }
        let message = format!("machine {hostname} was off and is powered on (spec.power.whenOff)");
        self.wanted.no(conditions::READY, &Why::new(reason::POWERING_ON, message));
        // Whole seconds: that is what the API server keeps.
        let noted = Timestamp::from_second(self.now.as_second()).unwrap_or(self.now);
        self.status.powered_on.push(Time(noted));
        (!self.failing(StepKind::Power)).then(|| step(noted))
    }

    // ---- it runs, and does not join

    /// Whether the system came up and joined: once it did, that stands.
    pub(super) fn bootstrapped(&mut self, view: &HostView) {
        let seen = self.seen;
        if seen.cluster.is_none() || !matches!(view.phase, HostPhase::Deployed) {
            return;
        }
        let standing = seen.object.status.as_ref().map_or(&[][..], |status| &status.conditions);
        let told = conditions::find(standing, conditions::BOOTSTRAP_SUCCEEDED).map(|c| c.status.as_str());
        if told == Some("True") || self.node(view).is_some() {
            self.wanted.yes(conditions::BOOTSTRAP_SUCCEEDED, reason::BOOTSTRAP_SUCCEEDED);
            return;
        }
        let deployed = conditions::find(standing, conditions::MACHINE_DEPLOYED).filter(|c| c.status == "True");
        let since = deployed.map_or(self.now, |c| c.last_transition_time.0);
        let limit = seen.maas_cluster.and_then(|c| c.spec.node_startup_timeout_seconds).unwrap_or(NODE_STARTUP);
        let limit = SignedDuration::from_secs(limit.into());
        let ask = since + ASK_WHY.min(limit);
        // Nothing is concluded, and MAAS not asked, before the Nodes were looked for: a process that starts knows of none.
        let looked = seen.nodes.is_some();
        if ask > self.now {
            self.waiting.at(ask);
        } else if looked && (told != Some("False") || seen.story.is_none()) {
            // Once the failure is told nobody asks any more: a thousand machines with a bad image must not keep MAAS busy.
            self.waiting.on(Topic::Story(view.id.clone()));
        }
        let after = seen.story.and_then(|story| story.errors.iter().find(|(at, _)| *at >= since));
        let hostname = &view.hostname;
        let nodes = match seen.nodes {
            Some(NodesSight::Unreadable(why)) => format!("the workload cluster's Nodes can't be read: {why}"),
            _ => format!("no Node {hostname} has joined"),
        };
        if let Some((_, error)) = after {
            let message = format!("machine {hostname} is deployed, then failed: {error}; {nodes}");
            let message = message.chars().take(TOLD).collect::<String>();
            self.wanted.no(conditions::BOOTSTRAP_SUCCEEDED, &Why::new(reason::BOOTSTRAP_FAILED, message));
        } else if looked && since + limit <= self.now {
            let message = format!(
                "machine {hostname} is deployed and did not join within {} s; {nodes}; look at /var/log/cloud-init-output.log on it, or at \
                 its console",
                limit.as_secs()
            );
            self.wanted.no(conditions::BOOTSTRAP_SUCCEEDED, &Why::new(reason::BOOTSTRAP_FAILED, message));
        } else {
            self.waiting.at(since + limit);
            let message = format!("waiting until machine {hostname} joins");
            self.wanted.unknown(conditions::BOOTSTRAP_SUCCEEDED, &Why::new(reason::WAITING_FOR_BOOTSTRAP, message));
        }
    }
}

/// Seconds in which a deployed machine must have joined, unless MaasCluster spec.nodeStartupTimeoutSeconds says otherwise.
const NODE_STARTUP: i32 = 1200;
