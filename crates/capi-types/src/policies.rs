//! What a user lets the provider do by itself. Without them it does the careful thing: it reports.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is done about a deployed machine that MAAS knows to be powered off.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum WhenOff {
    /// Condition Ready says so; nothing is done.
    #[default]
    Report,
    /// It is powered on, at most `atMost` times within an hour. Never done to a machine that was deployed into memory: MAAS would
    /// install it anew.
    TurnOn,
}

/// `spec.power` of a MaasMachine.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PowerPolicy {
    /// What is done when MAAS knows that the machine is off. A BMC that does not answer is not "off".
    #[serde(default)]
    pub when_off: WhenOff,
    /// How often within an hour the machine may be powered on; after that it is only reported.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 12))]
    pub at_most: u8,
}

impl Default for PowerPolicy {
    fn default() -> Self {
        Self { when_off: WhenOff::Report, at_most: three() }
    }
}

fn three() -> u8 {
    3
}

/// How disks are erased when a machine is released.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum Erase {
    /// Not by us; MAAS's own setting (`enable_disk_erasing_on_release`) stands.
    #[default]
    MaasDefault,
    /// The beginning and the end of each disk: minutes.
    Quick,
    /// The disks' own secure erase where they have it, else everything is overwritten.
    Secure,
    /// The disks' own secure erase where they have it, else the quick way.
    SecureOrQuick,
    /// Everything is overwritten: hours.
    Full,
}

/// What is done about a machine whose release or erasing failed three times.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum WhenReleaseFails {
    /// The MaasMachine waits and says why; the release is tried again every hour, and at once when an operator changes the machine.
    #[default]
    Wait,
    /// The machine is marked broken in MAAS with a comment, so that nobody gets it with our data on it, and the MaasMachine goes.
    MarkBroken,
}

/// `spec.release` of a MaasMachine.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleasePolicy {
    /// How disks are erased.
    #[serde(default)]
    pub erase: Erase,
    /// What is done when that, or the release, fails again and again.
    #[serde(default)]
    pub when_failing: WhenReleaseFails,
}

/// What becomes of the swap file that MAAS's installer makes.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum Swap {
    /// Whatever the machine is set to in MAAS.
    #[default]
    MaasDefault,
    /// The machine is set to have none (`swap_size` 0) before it is deployed, and stays set so. This takes an administrator's key.
    Off,
}

/// What is done about a machine that failed too many deployments of a cluster.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum FailedHostAction {
    /// It goes back to the pool; this cluster goes on avoiding it, for longer after each failure.
    #[default]
    Leave,
    /// It is marked broken in MAAS, with what failed as the comment: nobody gets it until an operator marks it fixed.
    MarkBroken,
    /// It goes back to the pool with a tag.
    Tag,
}

/// `spec.failedHosts` of a MaasCluster.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedHostPolicy {
    /// After so many failed deployments of one machine for this cluster.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 20))]
    pub after: u8,
    /// This is done.
    #[serde(default)]
    pub action: FailedHostAction,
    /// The tag in MAAS for action Tag. It must exist, or the provider's MAAS user must be an administrator, who makes it.
    #[serde(default = "failed_tag")]
    #[schemars(length(min = 1, max = 256))]
    pub tag: String,
}

fn failed_tag() -> String {
    "capmaas-failed-deployment".to_owned()
}

impl Default for FailedHostPolicy {
    fn default() -> Self {
        Self { after: three(), action: FailedHostAction::default(), tag: failed_tag() }
    }
}
