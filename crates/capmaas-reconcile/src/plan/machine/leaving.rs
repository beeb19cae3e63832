//! The end of a MaasMachine: detach, prove, release, let go.

use super::*;
use crate::observe::given_back_sick;

impl Pass<'_, '_> {
    pub(super) fn leave(&mut self) -> Option<Step> {
        let seen = self.seen;
        let id = seen.host.as_ref().map(|(id, _)| id.clone()).or(seen.memory.claimed.clone());
        if let Some(abandoned) = self.annotated(ABANDON_ANNOTATION)
            && id.as_ref().is_none_or(|id| id.as_str() == abandoned)
        {
            return Some(Step::DropFinalizer);
        }
        self.status.ready = false;
        self.wanted.no(conditions::READY, &Why::new(reason::DELETING, "the machine is being released"));
        let Some(token) = seen.record.token().cloned() else {
            let provisioned = seen.object.spec.provider_id.as_deref().is_some_and(|p| !p.is_empty());
            return match seen.object.metadata.uid.as_deref() {
                // Provisioned by a provider before us: record the claim, take over, then release.
                Some(uid) if id.is_some() && provisioned => Some(Step::Record(Intent::Own(Token::mint(uid)))),
                // Nothing was ever claimed by this object.
                _ => Some(Step::DropFinalizer),
            };
        };
        self.waiting.on(Topic::Strays);
        let Some(id) = id.or_else(|| self.found()) else {
            if seen.memory.claim_open_since.is_some()
                && let Some(why) = region_trouble(seen.region)
            {
                self.blocked_release(&why);
                return None;
            }
            return match self.claim_may_land(&token, CLAIM_MAY_LAND) {
                Landing::Found(id) => Some(Step::WriteSpec(SpecWrite::SystemId(id))),
                Landing::Open => {
                    let message = "an earlier claim may still take effect in MAAS; waiting until it has shown or its time is over";
                    self.wanted.no(conditions::READY, &Why::new(reason::DELETING, message));
                    None
                }
                Landing::Closed => Some(Step::DropFinalizer),
            };
        };
        self.waiting.on(Topic::Host(id.clone()));
        if let Some(why) = region_trouble(seen.region) {
            self.blocked_release(&why);
            return None;
        }
        if let Some(done) = self.claimed_twice(&id) {
            return done;
        }
        let sight = match &seen.host {
            Some((_, sight)) => *sight,
            None => return Some(Step::WriteSpec(SpecWrite::SystemId(id))),
        };
        let view = match sight {
            HostSight::Unread => return None,
            HostSight::Gone => return Some(Step::DropFinalizer),
            HostSight::Seen(view) => view,
        };
        self.show(view);
        self.go(view, token)
    }

    fn go(&mut self, view: &HostView, token: Token) -> Option<Step> {
        let id = view.id.clone();
        match &view.holder {
            Holder::Us(Some(mark)) if *mark == token => {}
            Holder::Us(None) => return self.unmarked(view, token),
            Holder::Nobody | Holder::Us(Some(_)) | Holder::Other(_) => return self.let_go(view),
        }
        if view.locked {
            self.blocked_release(&Why::new(
                reason::RELEASE_BLOCKED,
                format!("machine {} is locked in MAAS; unlock it there, then it is released", view.hostname),
            ));
            return None;
        }
        match view.phase {
            HostPhase::Releasing => {
                self.wanted.no(conditions::READY, &Why::new(reason::RELEASING, "MAAS releases the machine"));
                None
            }
            HostPhase::Free => Some(Step::DropFinalizer),
            HostPhase::Broken if hosted::is_marked_broken_by_us(view) => {
                self.note = Some(Note {
                    warning: true,
                    reason: reason::MARKED_BROKEN.to_owned(),
                    message: format!("machine {} stays Broken in MAAS and is let go: {}", view.hostname, view.error),
                });
                Some(Step::DropFinalizer)
            }
            HostPhase::Broken => {
                let message = format!(
                    "machine {} is Broken in MAAS{}; mark it fixed there (then it is released), or let go of it with annotation {ABANDON_ANNOTATION}: {id}",
                    view.hostname,
                    if view.error.is_empty() { String::new() } else { format!(" ({})", view.error) }
                );
                self.blocked_release(&Why::new(reason::RELEASE_BLOCKED, message));
                None
            }
            HostPhase::Operator | HostPhase::Unknown => {
                let message = format!(
                    "machine {} is {} in MAAS; it is released when an operator ends that",
                    view.hostname, view.status_name
                );
                self.blocked_release(&Why::new(reason::RELEASE_BLOCKED, message));
                None
            }
            HostPhase::ReleaseFailed => {
                if !self.name_forgot(&view.addresses) {
                    return None;
                }
                self.release_failed(view, token)
            }
            HostPhase::Claimed | HostPhase::Deploying | HostPhase::Deployed | HostPhase::DeployFailed => {
                if !self.name_forgot(&view.addresses) {
                    return None;
                }
                let machine = self.seen.machine.as_ref().and_then(|(_, machine)| *machine);
                if given_back_sick(self.seen.object, machine, view).is_some() && !self.failure_is_noted(view, &token) {
                    return None;
                }
                if self.failing(StepKind::Release) {
                    return None;
                }
                self.wanted.no(conditions::READY, &Why::new(reason::RELEASING, "MAAS releases the machine"));
                self.release(id, token, "MaasMachine deleted")
            }
        }
    }

    /// Deleted, and the host is our user's without marks: claimed and not marked yet, or deployed by a provider before us. It is
    /// marked first, which proves that it is ours.
    fn unmarked(&mut self, view: &HostView, token: Token) -> Option<Step> {
        let fresh = view.phase == HostPhase::Claimed;
        if view.phase == HostPhase::Free {
            return self.let_go(view);
        }
        if view.phase == HostPhase::Releasing {
            self.wanted.no(conditions::READY, &Why::new(reason::RELEASING, "MAAS releases the machine"));
            return None;
        }
        if fresh && self.mark_was_not_ours() || !fresh && !self.seen.rivals.is_empty() {
            return self.let_go(view);
        }
        let takeover = self.seen.object.status.as_ref().and_then(|s| s.hostname.clone());
        let takeover = takeover.filter(|_| !fresh);
        let fits = takeover.as_deref().is_some_and(|h| h.eq_ignore_ascii_case(&view.hostname))
            && matches!(view.phase, HostPhase::Deployed | HostPhase::Deploying);
        if !fresh && !fits {
            let message = format!(
                "machine {} is {} without marks of ours, and nothing proves that it is this object's; run capmaasctl adopt, or let go of it                  with annotation {ABANDON_ANNOTATION}: {}",
                view.hostname, view.status_name, view.id
            );
            self.blocked_release(&Why::new(reason::ADOPTION_REQUIRED, message));
            return None;
        }
        if self.failing(StepKind::Mark) {
            return None;
        }
        Some(Step::Mark { host: view.id.clone(), token, marks: self.marks(), takeover })
    }

    /// The host is not (any more) held for this object: nothing is done to it.
    fn let_go(&mut self, view: &HostView) -> Option<Step> {
        let warning = view.holder != Holder::Nobody && view.phase != HostPhase::Free;
        let message = if warning {
            format!("machine {} is {} and not held for this object: left alone", view.hostname, view.status_name)
        } else {
            format!("machine {} is back in the pool ({})", view.hostname, view.status_name)
        };
        let reason = if warning { reason::NOT_OURS } else { reason::DELETED };
        self.note = Some(Note { warning, reason: reason.to_owned(), message });
        Some(Step::DropFinalizer)
    }

    /// True when the control plane's name no longer has these addresses, for one time to live (design rule 5.5).
    fn name_forgot(&mut self, addresses: &[IpAddr]) -> bool {
        let Some((name, sight)) = &self.seen.name else { return true };
        self.waiting.on(Topic::Name(name.clone()));
        let since = match sight {
            NameSight::Absent(since) => *since,
            NameSight::Published(set, since) if !addresses.iter().any(|a| set.contains(a)) => *since,
            NameSight::Unread | NameSight::Published(..) => {
                let message = format!("waiting until {name} no longer resolves to this machine");
                self.wanted.no(conditions::READY, &Why::new(reason::DNS_DETACH_PENDING, message));
                return false;
            }
        };
        let over = since + NAME_SERVERS_FOLLOW + SignedDuration::from_secs(i64::from(TTL));
        if self.now < over {
            self.waiting.at(over);
            let message = format!("waiting until resolvers have forgotten this machine as {name}");
            self.wanted.no(conditions::READY, &Why::new(reason::DNS_DETACH_PENDING, message));
            return false;
        }
        self.status.dns_attached = false;
        true
    }

    pub(super) fn blocked_release(&mut self, why: &Why) {
        let message = format!("can't release the machine: {}", why.message);
        self.wanted.no(conditions::READY, &Why::new(why.reason, message));
    }
}
