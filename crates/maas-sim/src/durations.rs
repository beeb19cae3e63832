//! How long things take in a region.

use std::time::Duration;

use serde::Deserialize;

/// How long things take. In YAML: seconds, fractions allowed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Durations {
    /// From the answer to `deploy` until AUTO addresses show.
    #[serde(deserialize_with = "seconds")]
    pub addresses: Duration,
    /// From the start of a deployment, or a `power_on`, until the machine has power.
    #[serde(deserialize_with = "seconds")]
    pub power_on: Duration,
    /// From power until the ephemeral image runs.
    #[serde(deserialize_with = "seconds")]
    pub ephemeral: Duration,
    /// Installation of the operating system to disk.
    #[serde(deserialize_with = "seconds")]
    pub installing: Duration,
    /// Reboot into the installed system.
    #[serde(deserialize_with = "seconds")]
    pub reboot: Duration,
    /// From that reboot until the system asks for its user data, which makes it Deployed.
    #[serde(deserialize_with = "seconds")]
    pub first_boot: Duration,
    /// A whole deployment may take that long before MAAS gives up.
    #[serde(deserialize_with = "seconds")]
    pub deploy_watchdog: Duration,
    /// Scripts of commissioning, from the ephemeral image on.
    #[serde(deserialize_with = "seconds")]
    pub commissioning: Duration,
    /// Tests.
    #[serde(deserialize_with = "seconds")]
    pub testing: Duration,
    /// From `power_off` until the machine is off.
    #[serde(deserialize_with = "seconds")]
    pub power_off: Duration,
    /// From `release` of a running machine until it is off and Ready.
    #[serde(deserialize_with = "seconds")]
    pub release: Duration,
    /// Releasing gives up after that long when the BMC does not answer.
    #[serde(deserialize_with = "seconds")]
    pub release_watchdog: Duration,
    /// Quick erase of disks.
    #[serde(deserialize_with = "seconds")]
    pub quick_erase: Duration,
    /// Full erase of disks.
    #[serde(deserialize_with = "seconds")]
    pub erase: Duration,
    /// From a change until name servers answer accordingly.
    #[serde(deserialize_with = "seconds")]
    pub dns_publication: Duration,
    /// Period in which MAAS asks each BMC for its power state.
    #[serde(deserialize_with = "seconds")]
    pub power_poll: Duration,
}

impl Default for Durations {
    /// A server: about seven minutes to deploy, 20 s to release.
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            addresses: s(2),
            power_on: s(10),
            ephemeral: s(90),
            installing: s(180),
            reboot: s(60),
            first_boot: s(60),
            commissioning: s(240),
            testing: s(120),
            deploy_watchdog: s(3600),
            power_off: s(10),
            release: s(20),
            release_watchdog: s(300),
            quick_erase: s(300),
            erase: s(7200),
            dns_publication: s(3),
            power_poll: s(300),
        }
    }
}

impl Durations {
    /// Everything happens before the next request; watchdogs and the power poll stay as they are.
    #[must_use]
    pub fn instant() -> Self {
        let zero = Duration::ZERO;
        Self {
            addresses: zero,
            power_on: zero,
            ephemeral: zero,
            installing: zero,
            reboot: zero,
            first_boot: zero,
            commissioning: zero,
            testing: zero,
            power_off: zero,
            release: zero,
            quick_erase: zero,
            erase: zero,
            dns_publication: zero,
            ..Self::default()
        }
    }

    /// From `deploy` to Deployed.
    #[must_use]
    pub fn deployment(&self) -> Duration {
        self.power_on + self.ephemeral + self.installing + self.reboot + self.first_boot
    }
}

pub(crate) fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let value = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(value).map_err(serde::de::Error::custom)
}
