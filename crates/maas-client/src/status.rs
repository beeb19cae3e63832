//! Machine and power states as MAAS numbers and names them (fact sheet §3.1).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! machine_statuses {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $filter:literal, $label:literal;)+) => {
        /// Life-cycle state of a machine (`status` in machine JSON).
        ///
        /// Compared by number, because the texts are irregular ("Releasing failed"). A number this
        /// crate does not know is kept, never an error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum MachineStatus {
            $($(#[$doc])* $variant,)+
            /// A number newer than this crate.
            Unknown(i64),
        }

        impl MachineStatus {
            /// All statuses MAAS 3.4 to 3.8 know, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The number on the wire.
            pub fn number(self) -> i64 {
                match self {
                    $(Self::$variant => $number,)+
                    Self::Unknown(number) => number,
                }
            }

            /// The value `GET machines/?status=` takes; none for an unknown number.
            pub fn filter_value(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => Some($filter),)+
                    Self::Unknown(_) => None,
                }
            }
        }

        impl From<i64> for MachineStatus {
            fn from(number: i64) -> Self {
                match number {
                    $($number => Self::$variant,)+
                    other => Self::Unknown(other),
                }
            }
        }

        impl fmt::Display for MachineStatus {
            /// The `status_name` MAAS prints.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => f.pad($label),)+
                    Self::Unknown(number) => f.pad(&format!("status {number}")),
                }
            }
        }
    };
}

machine_statuses! {
    /// Enlisted, never commissioned.
    New = 0, "new", "New";
    /// Hardware is being taken stock of.
    Commissioning = 1, "commissioning", "Commissioning";
    /// Commissioning failed.
    FailedCommissioning = 2, "failed_commissioning", "Failed commissioning";
    /// Unused today.
    Missing = 3, "missing", "Missing";
    /// Free: no owner, may be allocated.
    Ready = 4, "ready", "Ready";
    /// Legacy form of Allocated.
    Reserved = 5, "reserved", "Reserved";
    /// The target system asked MAAS for its user data once. Says nothing about its health.
    Deployed = 6, "deployed", "Deployed";
    /// Unused today.
    Retired = 7, "retired", "Retired";
    /// Marked broken; may have an owner.
    Broken = 8, "broken", "Broken";
    /// An image is being installed.
    Deploying = 9, "deploying", "Deploying";
    /// Owned, nothing installed; stays so for ever.
    Allocated = 10, "allocated", "Allocated";
    /// Installation failed; still owned.
    FailedDeployment = 11, "failed_deployment", "Failed deployment";
    /// On its way to Ready.
    Releasing = 12, "releasing", "Releasing";
    /// Power-off or a release script failed; still owned.
    FailedReleasing = 13, "failed_releasing", "Releasing failed";
    /// Disks are being wiped; may last hours.
    DiskErasing = 14, "disk_erasing", "Disk erasing";
    /// Wiping failed; still owned.
    FailedDiskErasing = 15, "failed_disk_erasing", "Failed disk erasing";
    /// An operator put it in rescue mode.
    RescueMode = 16, "rescue_mode", "Rescue mode";
    /// On its way into rescue mode.
    EnteringRescueMode = 17, "entering_rescue_mode", "Entering rescue mode";
    /// Did not reach rescue mode.
    FailedEnteringRescueMode = 18, "failed_entering_rescue_mode", "Failed to enter rescue mode";
    /// On its way out of rescue mode.
    ExitingRescueMode = 19, "exiting_rescue_mode", "Exiting rescue mode";
    /// Did not leave rescue mode.
    FailedExitingRescueMode = 20, "failed_exiting_rescue_mode", "Failed to exit rescue mode";
    /// An operator runs hardware tests.
    Testing = 21, "testing", "Testing";
    /// Hardware tests failed.
    FailedTesting = 22, "failed_testing", "Failed testing";
}

impl Default for MachineStatus {
    fn default() -> Self {
        Self::Unknown(-1)
    }
}

impl Serialize for MachineStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.number())
    }
}

impl<'de> Deserialize<'de> for MachineStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer).map(Self::from)
    }
}

/// Power as MAAS last learnt it (`power_state`); up to ten minutes old unless queried.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PowerState {
    /// The BMC said on.
    On,
    /// The BMC said off.
    Off,
    /// Never queried, or the power type can't be queried (manual).
    #[default]
    Unknown,
    /// The last query failed.
    Error,
    /// A word newer than this crate.
    Other(String),
}

impl PowerState {
    /// The word on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Unknown => "unknown",
            Self::Error => "error",
            Self::Other(raw) => raw,
        }
    }
}

impl From<&str> for PowerState {
    fn from(raw: &str) -> Self {
        match raw {
            "on" => Self::On,
            "off" => Self::Off,
            "unknown" | "" => Self::Unknown,
            "error" => Self::Error,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for PowerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for PowerState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for PowerState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Option::<String>::deserialize(deserializer)?;
        Ok(Self::from(raw.as_deref().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_23_statuses_keep_their_numbers_and_filter_words() {
        assert_eq!(MachineStatus::ALL.len(), 23);
        for (index, status) in MachineStatus::ALL.iter().enumerate() {
            assert_eq!(status.number(), index as i64);
            assert_eq!(MachineStatus::from(index as i64), *status);
        }
        assert_eq!(MachineStatus::FailedReleasing.to_string(), "Releasing failed");
        assert_eq!(MachineStatus::FailedReleasing.filter_value(), Some("failed_releasing"));
    }

    #[test]
    fn words_and_numbers_unknown_to_us_survive_a_round_trip() {
        assert_eq!(serde_json::from_str::<MachineStatus>("99").unwrap(), MachineStatus::Unknown(99));
        assert_eq!(serde_json::to_string(&MachineStatus::Unknown(99)).unwrap(), "99");
        let power: PowerState = serde_json::from_str("\"sleeping\"").unwrap();
        assert_eq!(power, PowerState::Other("sleeping".into()));
        assert_eq!(serde_json::from_str::<PowerState>("null").unwrap(), PowerState::Unknown);
    }
}
