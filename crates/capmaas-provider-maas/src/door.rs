//! [`Provider`] on a region: each method is one thing done in MAAS, or a [`Fault`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use async_trait::async_trait;
use capi_types::{Erase, SystemId};
use capmaas_reconcile::host::{Holder, HostView};
use capmaas_reconcile::names::{DnsName, Token};
use capmaas_reconcile::provider::{
    ClaimOrder, DeployOrder, Fault, Marks, Proof, Provider, PublishOrder, QuarantineOrder, Recorded, Refusal,
    ReleaseOrder, Verdict,
};
use maas_client::{
    AllocateRequest, CreateTag, DeployRequest, Error, ErrorKind, Machine, MachineFilter, PowerOffMode, ReleaseRequest,
    TagMembers, UpdateMachine,
};

use crate::fault::{Doing, fault, rejected, words};
use crate::region::{MaasRegion, dns_name};
use crate::rules::{allocating, refusal};
use crate::status::{CLUSTER_KEY, MACHINE_KEY, TOKEN_KEY};

fn maas_id(id: &SystemId) -> Result<maas_client::SystemId, Fault> {
    id.as_str().parse().map_err(|e| rejected(Refusal::Invalid, format!("spec.systemID: {e}")))
}

impl MaasRegion {
    /// What the answer to a write shows. The write took effect: an answer that can't be read is no refusal.
    fn written(&self, doing: Doing, answer: &Machine) -> Result<HostView, Fault> {
        self.view(answer).map_err(|e| Fault::Ambiguous { message: format!("{}: {e}", doing.as_str()) })
    }

    /// MAAS answers 403 with no words to three things: locked, held by somebody else, not permitted. One look tells them apart.
    async fn refused(&self, doing: Doing, id: &maas_client::SystemId, error: Error) -> Fault {
        let plain = fault(doing, &error);
        if error.kind() != ErrorKind::Permission || error.is_ambiguous() {
            return plain;
        }
        let _leave = self.lanes.any().await;
        match self.services.machines.read(id).await {
            Ok(machine) if machine.locked => rejected(
                Refusal::Locked,
                format!("{}: {} is locked by an operator; unlock it in MAAS", doing.as_str(), machine.hostname),
            ),
            Ok(machine) if machine.owner.as_deref() != Some(&*self.user) => rejected(
                Refusal::NotOurs,
                format!(
                    "{}: {} is held by {}",
                    doing.as_str(),
                    machine.hostname,
                    machine.owner.as_deref().unwrap_or("nobody")
                ),
            ),
            _ => plain,
        }
    }

    /// What the answer to an order for the power says.
    async fn switched(
        &self,
        doing: Doing,
        id: &maas_client::SystemId,
        answer: Result<Option<Machine>, Error>,
    ) -> Result<HostView, Fault> {
        match answer {
            Ok(Some(machine)) => self.written(doing, &machine),
            Ok(None) => Err(Fault::Rejected {
                why: Refusal::WrongState,
                message: format!("{}: MAAS can't control the power of this machine", doing.as_str()),
            }),
            Err(error) => Err(self.refused(doing, id, error).await),
        }
    }

    /// MAAS's refusal of an image, with what a person can do about it.
    async fn no_image(&self, id: &maas_client::SystemId, image: &str, error: &Error) -> Fault {
        let _leave = self.lanes.any().await;
        let machine = self.services.machines.read(id).await;
        let architecture = match &machine {
            Ok(machine) if !machine.architecture.is_empty() => {
                machine.architecture.split('/').next().unwrap_or_default()
            }
            _ => "this machine's architecture",
        };
        let said = words(error);
        let mut names = said.split_once("should be one of: ").map(|(_, list)| images(list)).unwrap_or_default();
        if names.is_empty() {
            // MAAS says which it has only where the image is not there for any architecture.
            let all = self.services.boot_resources.list().await.unwrap_or_default();
            let for_it = all.into_iter().filter(|image| image.architecture.split('/').next() == Some(architecture));
            names = for_it.map(|image| image.name).filter(|name| !name.starts_with("grub-efi")).collect();
        }
        let there = match nearest(image, names) {
            there if there.is_empty() => format!("MAAS says: {said}"),
            there => there,
        };
        let message = format!(
            "spec.image {image}: MAAS has no such image for {architecture}; import or upload it in MAAS, or name another one. {there}"
        );
        rejected(Refusal::Invalid, message)
    }

    /// Gives a machine a tag, and makes the tag when MAAS has none of that name.
    async fn tag(&self, id: &maas_client::SystemId, tag: &str, comment: &str) -> Result<HostView, Fault> {
        let _leave = self.lanes.any().await;
        let tags = &self.services.tags;
        let change = TagMembers { add: vec![id.clone()], ..Default::default() };
        let tagged = match tags.update_machines(tag, &change).await {
            Err(error) if error.is_not_found() => {
                let request =
                    CreateTag { name: tag.to_owned(), comment: Some(comment.to_owned()), ..Default::default() };
                match tags.create(&request).await {
                    Ok(_) => tags.update_machines(tag, &change).await,
                    Err(error) => Err(error),
                }
            }
            answer => answer,
        };
        tagged.map_err(|error| match fault(Doing::Tag, &error) {
            Fault::Rejected { why: Refusal::Permission, .. } => rejected(
                Refusal::Permission,
                format!("MAAS user {} may not tag machines: give it administrator rights in MAAS", self.user),
            ),
            other => other,
        })?;
        let machine = self.services.machines.read(id).await.map_err(|e| match fault(Doing::Read, &e) {
            // The tag is written; how the machine looks now has to be read again.
            Fault::Unavailable { message } => Fault::Ambiguous { message },
            other => other,
        })?;
        self.written(Doing::Tag, &machine)
    }

    fn dns_fault(&self, name: &DnsName, error: &maas_dns::Error) -> Fault {
        if let maas_dns::Error::UnknownDomain { domain, .. } = error {
            let message =
                format!("spec.dnsDomain {domain}: MAAS has no such domain; create it in MAAS, or name one that it has");
            return rejected(Refusal::Invalid, message);
        }
        match fault(Doing::Name, error.maas()) {
            Fault::Rejected { why: Refusal::Permission, .. } => rejected(
                Refusal::Permission,
                format!(
                    "DNS name {name}: MAAS user {} may not write DNS; give it administrator rights in MAAS, or set \
                     spec.controlPlaneEndpoint to a name or address that you keep yourself",
                    self.user
                ),
            ),
            // Two writers at once, or the resource went while we wrote it: the next read shows what stands.
            Fault::Rejected { why: Refusal::Gone, message } => {
                Fault::Ambiguous { message: format!("{name}: {message}") }
            }
            Fault::Rejected { why, message } => rejected(why, format!("{name}: {message}")),
            Fault::Ambiguous { message } => Fault::Ambiguous { message: format!("{name}: {message}") },
            Fault::Unavailable { message } => Fault::Unavailable { message: format!("{name}: {message}") },
        }
    }
}

/// `'', 'custom/a', 'ubuntu/noble'.` as the names in it.
fn images(list: &str) -> BTreeSet<String> {
    let names = list.split(',').map(|name| name.trim_matches([' ', '.', '\''])).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// So many image names are listed at most.
const IMAGES_SHOWN: usize = 6;

/// What there is instead of an image: all names if they are few, else the most alike ones.
fn nearest(image: &str, names: BTreeSet<String>) -> String {
    let count = names.len();
    if count <= IMAGES_SHOWN {
        let names: Vec<_> = names.into_iter().collect();
        return if names.is_empty() { String::new() } else { format!("It has: {}", names.join(", ")) };
    }
    let bare = |name: &str| name.split_once('/').map_or(name, |(_, series)| series).to_ascii_lowercase();
    let wanted = bare(image);
    let mut ranked: Vec<_> =
        names.into_iter().map(|name| (strsim::damerau_levenshtein(&wanted, &bare(&name)), name)).collect();
    ranked.sort();
    let shown: Vec<_> = ranked.into_iter().take(IMAGES_SHOWN).map(|(_, name)| name).collect();
    format!("Nearest of its {count}: {}", shown.join(", "))
}

fn about_the_image(error: &Error) -> bool {
    error.kind() == ErrorKind::Validation
        && (error.fields().contains_key("distro_series")
            // Without a field: the image is there, but not for this architecture.
            || (error.fields().is_empty() && error.message().contains("image")))
}

#[async_trait]
impl Provider for MaasRegion {
    async fn claim(&self, intent: &Recorded, order: &ClaimOrder) -> Result<(Proof, HostView), Fault> {
        if intent.token() != &order.token {
            return Err(rejected(
                Refusal::NotOurs,
                format!("the recorded claim is {}, not {}", intent.token(), order.token),
            ));
        }
        let request = AllocateRequest {
            agent_name: Some(order.token.to_string()),
            comment: Some(format!("capmaas: claimed for {}", intent.machine())),
            ..allocating(maas_id(&order.host)?, &order.constraints)
        };
        let _leave = self.lanes.allocate().await;
        let machine = self.services.machines.allocate(&request).await.map_err(|e| match fault(Doing::Claim, &e) {
            Fault::Rejected { why: Refusal::Invalid, .. } => {
                rejected(Refusal::Invalid, format!("{}: {}", Doing::Claim.as_str(), refusal(&e, &order.constraints)))
            }
            // MAAS's text lists all that was sent, which a condition does not need.
            Fault::Rejected { why: Refusal::NoMatch, .. } => {
                rejected(Refusal::NoMatch, format!("machine {} was taken or does not match any more", order.host))
            }
            other => other,
        })?;
        let view = self.written(Doing::Claim, &machine)?;
        if view.id != order.host {
            return Err(Fault::Ambiguous {
                message: format!("asked for machine {}, MAAS answered with {}", order.host, view.id),
            });
        }
        match Proof::from_claim(&view, order) {
            Ok(proof) => Ok((proof, view)),
            Err(e) => Err(Fault::Ambiguous { message: format!("{}: {e}", Doing::Claim.as_str()) }),
        }
    }

    async fn prove(&self, host: &SystemId, token: &Token, takeover: Option<String>) -> Result<Verdict, Fault> {
        let id = maas_id(host)?;
        let _leave = self.lanes.any().await;
        let view = match self.services.machines.read(&id).await {
            Ok(machine) => self.view(&machine)?,
            Err(error) if error.is_not_found() => return Ok(Verdict::Gone),
            Err(error) => return Err(fault(Doing::Read, &error)),
        };
        let not_ours = match Proof::from_marks(&view, token) {
            Ok(proof) => return Ok(Verdict::Ours(proof, view)),
            Err(not_ours) => not_ours,
        };
        if view.holder != Holder::Us(None) {
            return Ok(Verdict::NotOurs(not_ours));
        }
        let filter = MachineFilter { ids: vec![id], agent_name: vec![token.to_string()], ..Default::default() };
        let hits = self.services.machines.list(&filter).await.map_err(|e| fault(Doing::Read, &e))?;
        for hit in &hits {
            let hit = self.view(hit)?;
            if hit.id == *host {
                return Ok(match Proof::from_token_query(&hit, token) {
                    Ok(proof) => Verdict::Ours(proof, hit),
                    Err(not_ours) => Verdict::NotOurs(not_ours),
                });
            }
        }
        let Some(hostname) = takeover else {
            return Ok(Verdict::NotOurs(not_ours));
        };
        Ok(match Proof::from_takeover(&view, token, &hostname) {
            Ok(proof) => Verdict::Ours(proof, view),
            Err(not_ours) => Verdict::NotOurs(not_ours),
        })
    }

    async fn mark(&self, proof: Proof, marks: &Marks) -> Result<(Proof, HostView), Fault> {
        let id = maas_id(proof.host())?;
        let mut data = BTreeMap::from([
            (TOKEN_KEY.to_owned(), proof.token().to_string()),
            (MACHINE_KEY.to_owned(), marks.machine.to_string()),
        ]);
        // An empty value would delete the key.
        if !marks.cluster.is_empty() {
            data.insert(CLUSTER_KEY.to_owned(), marks.cluster.clone());
        }
        let answer = {
            let _leave = self.lanes.any().await;
            self.services.machines.set_owner_data(&id, &data).await
        };
        let machine = match answer {
            Ok(machine) => machine,
            Err(error) => return Err(self.refused(Doing::Mark, &id, error).await),
        };
        let view = self.written(Doing::Mark, &machine)?;
        match Proof::from_marks(&view, proof.token()) {
            Ok(proof) => Ok((proof, view)),
            Err(e) => Err(Fault::Ambiguous { message: format!("{}: {e}", Doing::Mark.as_str()) }),
        }
    }

    async fn swap_off(&self, proof: Proof) -> Result<(Proof, HostView), Fault> {
        let id = maas_id(proof.host())?;
        let answer = {
            let _leave = self.lanes.any().await;
            let request = UpdateMachine { swap_size: Some(0), ..Default::default() };
            self.services.machines.update(&id, &request).await
        };
        let machine = match answer {
            Ok(machine) => machine,
            Err(error) => {
                return Err(match self.refused(Doing::Swap, &id, error).await {
                    Fault::Rejected { why: Refusal::Permission, .. } => rejected(
                        Refusal::Permission,
                        format!(
                            "spec.swap Off: MAAS user {} may not change machines: give it administrator rights in MAAS, or leave the field \
                             out and turn swap off in the bootstrap data (preKubeadmCommands: swapoff -a)",
                            self.user
                        ),
                    ),
                    other => other,
                });
            }
        };
        let view = self.written(Doing::Swap, &machine)?;
        if !view.swap_off {
            return Err(Fault::Ambiguous { message: format!("{}: MAAS does not show it", Doing::Swap.as_str()) });
        }
        match Proof::from_marks(&view, proof.token()) {
            Ok(proof) => Ok((proof, view)),
            Err(e) => Err(Fault::Ambiguous { message: format!("{}: {e}", Doing::Swap.as_str()) }),
        }
    }

    async fn deploy(&self, proof: Proof, order: &DeployOrder, user_data: &[u8]) -> Result<HostView, Fault> {
        let id = maas_id(proof.host())?;
        let image = order.image.trim();
        if image.is_empty() {
            return Err(rejected(
                Refusal::Invalid,
                "spec.image is empty: name an image that MAAS has, such as ubuntu/noble",
            ));
        }
        let request = DeployRequest {
            // As it is written: MAAS itself takes os/series, a series, and the bare name of an uploaded image. Which of the last
            // two a name without `/` is, only MAAS knows.
            distro_series: Some(image.to_owned()),
            user_data: Some(user_data.to_vec()),
            ephemeral_deploy: order.in_memory,
            // If the box became Ready behind our back, deploy acquires it: then under our token (design rule 5.2).
            agent_name: Some(proof.token().to_string()),
            comment: Some(order.comment.clone()),
            ..Default::default()
        };
        let answer = {
            let _leave = self.lanes.any().await;
            self.services.machines.deploy(&id, &request).await
        };
        match answer {
            Ok(machine) => self.written(Doing::Deploy, &machine),
            Err(error) if about_the_image(&error) && !error.is_ambiguous() => {
                Err(self.no_image(&id, image, &error).await)
            }
            Err(error) => Err(self.refused(Doing::Deploy, &id, error).await),
        }
    }

    async fn release(&self, proof: Proof, order: &ReleaseOrder) -> Result<HostView, Fault> {
        let id = maas_id(proof.host())?;
        let request = ReleaseRequest {
            comment: Some(order.comment.clone()),
            erase: order.erase != Erase::MaasDefault,
            secure_erase: matches!(order.erase, Erase::Secure | Erase::SecureOrQuick),
            quick_erase: matches!(order.erase, Erase::Quick | Erase::SecureOrQuick),
        };
        let answer = {
            let _leave = self.lanes.power().await;
            self.services.machines.release(&id, &request).await
        };
        match answer {
            Ok(machine) => self.written(Doing::Release, &machine),
            Err(error) => Err(self.refused(Doing::Release, &id, error).await),
        }
    }

    async fn power_on(&self, proof: Proof, comment: &str) -> Result<HostView, Fault> {
        let id = maas_id(proof.host())?;
        let answer = {
            let _leave = self.lanes.power().await;
            self.services.machines.power_on(&id, Some(comment.to_owned())).await
        };
        self.switched(Doing::Power, &id, answer).await
    }

    async fn power_off(&self, proof: Proof, comment: &str) -> Result<HostView, Fault> {
        let id = maas_id(proof.host())?;
        let answer = {
            let _leave = self.lanes.power().await;
            self.services.machines.power_off(&id, PowerOffMode::Hard, Some(comment.to_owned())).await
        };
        self.switched(Doing::PowerOff, &id, answer).await
    }

    async fn quarantine(&self, proof: Proof, order: &QuarantineOrder) -> Result<HostView, Fault> {
        let id = maas_id(proof.host())?;
        match order {
            QuarantineOrder::Broken { comment } => {
                let answer = {
                    let _leave = self.lanes.power().await;
                    self.services.machines.mark_broken(&id, Some(comment.clone())).await
                };
                match answer {
                    Ok(machine) => self.written(Doing::Break, &machine),
                    Err(error) => Err(self.refused(Doing::Break, &id, error).await),
                }
            }
            QuarantineOrder::Tag { tag, comment } => self.tag(&id, tag, comment).await,
        }
    }

    async fn publish(&self, order: &PublishOrder) -> Result<BTreeSet<IpAddr>, Fault> {
        let name = dns_name(&order.name)?;
        let _leave = self.lanes.any().await;
        let outcome = maas_dns::ensure(&*self.services.dns_resources, &name, &order.addresses, Some(order.ttl)).await;
        outcome.map(|outcome| outcome.resource.addresses()).map_err(|e| self.dns_fault(&order.name, &e))
    }

    async fn unpublish(&self, name: &DnsName) -> Result<(), Fault> {
        let _leave = self.lanes.any().await;
        let removed = maas_dns::remove(&*self.services.dns_resources, &dns_name(name)?).await;
        removed.map(|_| ()).map_err(|e| self.dns_fault(name, &e))
    }
}

#[cfg(test)]
mod tests;
