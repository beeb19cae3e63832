//! A MaasMachine with a host: from allocated to deployed to tied to its Node.

use super::*;

impl<'a> Pass<'a, '_> {
    pub(super) fn with_host(&mut self, id: SystemId, sight: &'a HostSight) -> Option<Step> {
        let seen = self.seen;
        self.waiting.on(Topic::Host(id.clone()));
        let provisioned = seen.object.spec.provider_id.as_deref().is_some_and(|p| !p.is_empty());
        if let Some(done) = self.claimed_twice(&id) {
            return done;
        }
        let view = match sight {
            HostSight::Unread => {
                if let Some(why) = region_trouble(seen.region) {
                    self.keep_or(provisioned, &why);
                } else {
                    self.keep_or(provisioned, &Why::new(reason::CLAIMING, format!("reading machine {id} from MAAS")));
                }
                return None;
            }
            HostSight::Gone if provisioned => {
                self.terminal(
                    reason::MACHINE_NOT_FOUND,
                    format!("machine {id} does not exist in MAAS any more; delete the Machine to replace it"),
                );
                return None;
            }
            HostSight::Gone => return Some(Step::WriteSpec(SpecWrite::NoSystemId)),
            HostSight::Seen(view) => view,
        };
        self.show(view);
        let token = match &seen.record {
            Record::Mine(token) => token.clone(),
            // A moved or taken-over object keeps its machine; its claim is recorded before anything is done to it.
            Record::Absent | Record::Foreign(_) if provisioned => {
                return Some(Step::Record(Intent::Own(Token::mint(seen.object.metadata.uid.as_deref()?))));
            }
            Record::Absent | Record::Foreign(_) => {
                let message = format!(
                    "spec.systemID names {id}, but the claim record is not this object's; remove spec.systemID, the provider writes it"
                );
                self.not_yet(&Why::new(reason::ADOPTION_REQUIRED, message));
                return None;
            }
        };
        if !self.has_finalizer() {
            return Some(Step::Record(Intent::Own(token)));
        }
        if provisioned { self.provisioned(view, &token) } else { self.deploying(view, token) }
    }

    /// The loser of a race gives its box back before it deploys any (design rule 5.1). `None`: there is none.
    pub(super) fn claimed_twice(&mut self, id: &SystemId) -> Option<Option<Step>> {
        let found = self.seen.token.into_iter().flat_map(|sight| &sight.hits);
        let other = self.seen.memory.claimed.iter().chain(found).find(|other| *other != id)?.clone();
        let token = self.seen.record.token()?.clone();
        if self.failing(StepKind::Release) {
            return Some(None);
        }
        Some(self.release(other, token, "claimed twice; the other machine is in spec.systemID"))
    }

    /// Other MaasMachines that name this host, in words; `None` when there are none.
    pub(super) fn rivals(&self, view: &HostView) -> Option<String> {
        let names: Vec<_> = self.seen.rivals.iter().map(ToString::to_string).collect();
        (!names.is_empty()).then(|| {
            let fix = "remove spec.systemID and spec.providerID from the one that is a copy, or delete it";
            format!("machine {} is also named by MaasMachine {}; {fix}", view.hostname, names.join(", "))
        })
    }

    /// The latest fresh look before a mark said that the host is not held for our claim.
    pub(super) fn mark_was_not_ours(&self) -> bool {
        let attempt = self.seen.memory.attempts.get(&StepKind::Mark);
        attempt.is_some_and(|a| matches!(a.fault, Fault::Rejected { why: Refusal::NotOurs, .. }))
    }

    /// A provisioned machine keeps what it says; one that is not says why.
    pub(super) fn keep_or(&mut self, provisioned: bool, why: &Why) {
        if !provisioned || self.seen.object.status.is_none() {
            self.not_yet(why);
        }
    }

    pub(super) fn terminal(&mut self, reason: &'static str, message: String) {
        let why = Why::new(reason, message);
        self.wanted.no(conditions::READY, &why);
        self.wanted.no(conditions::MACHINE_DEPLOYED, &why);
        self.status.ready = false;
    }

    /// What MAAS shows, into the status. Of a host that is not proven to be ours only its state: `status.hostname` is evidence
    /// for a takeover, so nothing that was merely looked at may get there.
    pub(super) fn show(&mut self, view: &HostView) {
        self.status.machine_state = Some(view.status_name.clone());
        if !self.seen.record.token().is_some_and(|token| view.is_marked(token)) {
            return;
        }
        match view.power {
            Power::On => self.status.machine_powered = true,
            Power::Off => self.status.machine_powered = false,
            // A BMC that does not answer tells nothing.
            Power::Unknown | Power::Error => {}
        }
        self.status.hostname = Some(view.hostname.clone());
        self.status.failure_domain = Some(view.zone.clone());
        if matches!(view.phase, HostPhase::Deploying | HostPhase::Deployed) {
            self.status.addresses = addresses(view);
        }
    }

    /// Not provisioned yet: from allocated to deployed.
    fn deploying(&mut self, view: &HostView, token: Token) -> Option<Step> {
        let seen = self.seen;
        let id = view.id.clone();
        match &view.holder {
            Holder::Us(Some(mark)) if *mark == token => {}
            Holder::Us(None) if view.phase == HostPhase::Free => return Some(Step::WriteSpec(SpecWrite::NoSystemId)),
            Holder::Us(None) if is_operators(view.phase) => {
                self.held_by_operator(view);
                return None;
            }
            Holder::Us(None) => {
                if view.phase == HostPhase::Releasing {
                    self.not_yet(&Why::new(reason::RELEASING, "MAAS releases the machine; another one is chosen then"));
                    return None;
                }
                if self.mark_was_not_ours() {
                    // Released behind our back and claimed for somebody else of ours: choose anew.
                    return Some(Step::WriteSpec(SpecWrite::NoSystemId));
                }
                if view.phase != HostPhase::Claimed {
                    let message = format!(
                        "machine {} is {} without marks of ours; run capmaasctl adopt, or remove spec.systemID",
                        view.hostname, view.status_name
                    );
                    self.not_yet(&Why::new(reason::ADOPTION_REQUIRED, message));
                    return None;
                }
                self.not_yet(&Why::new(reason::CLAIMING, "marking the claimed machine"));
                if self.failing(StepKind::Mark) {
                    return None;
                }
                return Some(Step::Mark { host: id, token, marks: self.marks(), takeover: None });
            }
            // Free again (a failed deployment was released), lost, or never ours: choose anew.
            Holder::Nobody | Holder::Us(Some(_)) | Holder::Other(_) => {
                return Some(Step::WriteSpec(SpecWrite::NoSystemId));
            }
        }
        if view.locked {
            self.held_by_operator(view);
            return None;
        }
        match view.phase {
            HostPhase::Claimed => {
                let machine = seen.machine.as_ref().and_then(|(_, machine)| *machine);
                if machine.is_some_and(CoreMachine::is_deleting) {
                    self.not_yet(&Why::new(reason::DELETING, "the Machine is being deleted"));
                    return None;
                }
                let bootstrap = machine.and_then(|machine| machine.data_secret_name.clone());
                let Some(bootstrap) = bootstrap else {
                    self.not_yet(&Why::new(
                        reason::WAITING_FOR_BOOTSTRAP_DATA,
                        "waiting for the bootstrap provider to make the bootstrap data",
                    ));
                    return None;
                };
                if seen.object.spec.swap == Some(Swap::Off) && !view.swap_off && !seen.object.spec.deploy_in_memory {
                    self.not_yet(&Why::new(reason::MACHINE_DEPLOY_STARTED, "setting the machine's swap off"));
                    if self.failing(StepKind::SwapOff) {
                        return None;
                    }
                    return Some(Step::SwapOff { host: id, token });
                }
                self.not_yet(&Why::new(reason::MACHINE_DEPLOY_STARTED, "starting the deployment"));
                if self.failing(StepKind::Deploy) {
                    return None;
                }
                let order = DeployOrder {
                    image: seen.object.spec.image.clone(),
                    in_memory: seen.object.spec.deploy_in_memory,
                    comment: format!("capmaas {}", self.name()),
                };
                Some(Step::Deploy { host: id, token, order, bootstrap })
            }
            HostPhase::Deploying => {
                self.not_yet(&Why::new(reason::MACHINE_DEPLOYING, "MAAS installs the image"));
                None
            }
            HostPhase::Deployed => match ProviderId::new(&view.zone, view.id.clone()) {
                Ok(provider_id) => Some(Step::WriteSpec(SpecWrite::ProviderId(provider_id))),
                Err(error) => {
                    self.not_yet(&Why::new(
                        reason::INVALID_SPEC,
                        format!("zone {} can't be in a providerID: {error}", view.zone),
                    ));
                    None
                }
            },
            HostPhase::DeployFailed => self.deploy_failed(view, token),
            HostPhase::ReleaseFailed => self.release_failed(view, token),
            // We marked it: it is an operator's now.
            HostPhase::Broken if is_marked_broken_by_us(view) => Some(Step::WriteSpec(SpecWrite::NoSystemId)),
            HostPhase::Free => Some(Step::WriteSpec(SpecWrite::NoSystemId)),
            HostPhase::Releasing => {
                self.not_yet(&Why::new(reason::RELEASING, "MAAS releases the machine; another one is chosen then"));
                None
            }
            HostPhase::Broken | HostPhase::Operator | HostPhase::Unknown => {
                self.held_by_operator(view);
                None
            }
        }
    }

    pub(super) fn held_by_operator(&mut self, view: &HostView) {
        let locked = if view.locked { " and locked" } else { "" };
        let message = format!(
            "machine {} is {}{locked} in MAAS{}; nothing is done until an operator ends that",
            view.hostname,
            view.status_name,
            if view.error.is_empty() { String::new() } else { format!(" ({})", view.error) }
        );
        self.wanted.no(conditions::READY, &Why::new(reason::OPERATOR_HOLDS_MACHINE, message));
        self.status.ready = false;
    }

    /// Provisioned: say how it is, tie its Node, touch nothing.
    fn provisioned(&mut self, view: &HostView, token: &Token) -> Option<Step> {
        let seen = self.seen;
        self.status.initialization = Some(InitializationStatus { provisioned: Some(true) });
        let hostname = view.hostname.clone();
        match &view.holder {
            Holder::Us(Some(mark)) if mark == token => {}
            Holder::Us(None) if matches!(view.phase, HostPhase::Deployed | HostPhase::Deploying) => {
                // Takeover: another provider deployed it, for an object whose status still bears the hostname.
                if let Some(message) = self.rivals(view) {
                    self.terminal(reason::NOT_OURS, message);
                    return None;
                }
                let known = seen.object.status.as_ref().and_then(|s| s.hostname.clone());
                if known.as_deref().is_some_and(|h| h.eq_ignore_ascii_case(&hostname)) {
                    if self.failing(StepKind::Mark) {
                        return None;
                    }
                    return Some(Step::Mark {
                        host: view.id.clone(),
                        token: token.clone(),
                        marks: self.marks(),
                        takeover: known,
                    });
                }
                self.terminal(
                    reason::ADOPTION_REQUIRED,
                    format!("machine {hostname} is deployed without marks of ours and status.hostname does not name it; run capmaasctl adopt"),
                );
                return None;
            }
            // Whether it is ours can be told when the operator is done.
            Holder::Us(None) if is_operators(view.phase) => {
                self.held_by_operator(view);
                return None;
            }
            holder => {
                if let Some(message) = self.rivals(view) {
                    self.terminal(reason::NOT_OURS, message);
                    return None;
                }
                let holder = match holder {
                    Holder::Nobody => "nobody".to_owned(),
                    Holder::Us(Some(_)) => "our MAAS user for another claim".to_owned(),
                    Holder::Us(None) => "our MAAS user without marks of ours".to_owned(),
                    Holder::Other(user) => format!("MAAS user {user}"),
                };
                let message = format!(
                    "machine {hostname} was released or taken: it is {} and held by {holder}; delete the Machine to replace it",
                    view.status_name
                );
                self.terminal(reason::MACHINE_TERMINATED, message);
                return None;
            }
        }
        if self.in_memory_system_lost(view) {
            return None;
        }
        let mut next = None;
        match view.phase {
            HostPhase::Deployed if view.power == Power::Off => next = self.powered_off(view, token),
            HostPhase::Deployed => {
                self.status.ready = true;
                self.wanted.yes(conditions::MACHINE_DEPLOYED, reason::MACHINE_DEPLOYED);
                self.wanted.yes(conditions::READY, reason::READY);
            }
            HostPhase::Free
            | HostPhase::Claimed
            | HostPhase::Releasing
            | HostPhase::ReleaseFailed
            | HostPhase::DeployFailed => {
                let message = format!(
                    "machine {hostname} is {} in MAAS: its system is gone; delete the Machine to replace it",
                    view.status_name
                );
                self.terminal(reason::MACHINE_TERMINATED, message);
                return None;
            }
            HostPhase::Deploying | HostPhase::Broken | HostPhase::Operator | HostPhase::Unknown => {
                self.held_by_operator(view)
            }
        }
        self.attached(view);
        let tie = self.tie(view);
        self.bootstrapped(view);
        next.or(tie)
    }

    fn attached(&mut self, view: &HostView) {
        let Some((name, sight)) = &self.seen.name else { return };
        self.waiting.on(Topic::Name(name.clone()));
        let attached = matches!(sight, NameSight::Published(set, _) if view.addresses.iter().any(|a| set.contains(a)));
        self.status.dns_attached = attached;
        if attached {
            self.wanted.yes(conditions::DNS_ATTACHED, reason::DNS_ATTACHED);
        } else {
            let message = format!("{name} does not resolve to this machine yet");
            self.wanted.no(conditions::DNS_ATTACHED, &Why::new(reason::DNS_ATTACH_PENDING, message));
        }
    }

    /// The Node of the machine: by exact name, with one address checked.
    pub(super) fn node(&self, view: &HostView) -> Option<&'a NodeView> {
        let Some(NodesSight::Nodes(nodes)) = self.seen.nodes else { return None };
        let fits = |n: &&NodeView| view.addresses.iter().any(|a| n.addresses.contains(a));
        [&view.hostname, &view.fqdn].into_iter().find_map(|name| nodes.get(&name.to_ascii_lowercase()).filter(fits))
    }

    /// Design rule 5.6: the Node, found by exact name with one address checked, gets the providerID once.
    fn tie(&mut self, view: &HostView) -> Option<Step> {
        let seen = self.seen;
        let Some((cluster, _)) = &seen.cluster else { return None };
        let provider_id: ProviderId = seen.object.provider_id()?.ok()?;
        self.waiting.on(Topic::Nodes(cluster.clone()));
        let hostname = view.hostname.to_ascii_lowercase();
        let fqdn = view.fqdn.to_ascii_lowercase();
        let Some(node) = self.node(view) else {
            let message = match seen.nodes {
                Some(NodesSight::Unreadable(why)) => format!("the workload cluster's Nodes can't be read: {why}"),
                _ => format!("waiting for a Node named {hostname} (or {fqdn}) with an address of this machine"),
            };
            self.wanted.unknown(conditions::NODE_TIED, &Why::new(reason::WAITING_FOR_NODE, message));
            return None;
        };
        if node.provider_id.is_empty() {
            self.wanted
                .unknown(conditions::NODE_TIED, &Why::new(reason::WAITING_FOR_NODE, "setting the Node's providerID"));
            if self.failing(StepKind::TieNode) {
                return None;
            }
            let tie =
                NodeTie { cluster: cluster.clone(), node: node.name.clone(), provider_id, zone: view.zone.clone() };
            return Some(Step::TieNode(tie));
        }
        if node.provider_id == provider_id.to_string() {
            self.wanted.yes(conditions::NODE_TIED, reason::NODE_TIED);
        } else {
            let message = format!(
                "Node {} has providerID {}, expected {provider_id}; it can't be changed: delete the Node and let kubelet register again",
                node.name, node.provider_id
            );
            self.wanted.no(conditions::NODE_TIED, &Why::new(reason::NODE_PROVIDER_ID_DIFFERS, message));
        }
        None
    }
}

/// Nothing is concluded and nothing done while it is in such a state (design rule 5.3).
fn is_operators(phase: HostPhase) -> bool {
    matches!(phase, HostPhase::Broken | HostPhase::Operator | HostPhase::Unknown)
}

/// Design rule 5.4: a host that we marked broken is let go, not released.
pub(super) fn is_marked_broken_by_us(view: &HostView) -> bool {
    view.phase == HostPhase::Broken && view.error.starts_with(QuarantineOrder::SIGNATURE)
}

pub(super) fn said(view: &HostView) -> &str {
    if view.error.is_empty() { "MAAS gives no reason" } else { &view.error }
}

/// The addresses as core wants them: name and FQDN, then each address inside and outside.
fn addresses(view: &HostView) -> Vec<MachineAddress> {
    let one = |type_, address: String| MachineAddress { type_, address };
    let mut all = vec![
        one(AddressType::Hostname, view.hostname.clone()),
        one(AddressType::InternalDns, view.fqdn.clone()),
        one(AddressType::ExternalDns, view.fqdn.clone()),
    ];
    for address in &view.addresses {
        all.push(one(AddressType::InternalIp, address.to_string()));
        all.push(one(AddressType::ExternalIp, address.to_string()));
    }
    all
}
