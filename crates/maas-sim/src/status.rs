//! The 23 machine statuses of MAAS.

macro_rules! statuses {
    ($($variant:ident = $code:literal, $name:literal, $filter:literal, $simple:literal;)*) => {
        /// Status of a machine (`status`, `status_name`; reference §3.1).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Status {
            $(#[doc = concat!("`", $name, "`, number ", $code)] $variant = $code,)*
        }

        impl Status {
            /// Every status, by number.
            pub const ALL: &'static [Status] = &[$(Status::$variant),*];

            /// The number in field `status`.
            #[must_use]
            pub fn code(self) -> u8 {
                self as u8
            }

            /// The text in field `status_name`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Status::$variant => $name,)* }
            }

            /// The value that list filters take (`status=`).
            #[must_use]
            pub fn filter_value(self) -> &'static str {
                match self { $(Status::$variant => $filter,)* }
            }

            /// The value that the filter `simple_status=` takes.
            #[must_use]
            pub fn simple(self) -> &'static str {
                match self { $(Status::$variant => $simple,)* }
            }

            /// The status that a filter value names.
            #[must_use]
            pub fn from_filter(value: &str) -> Option<Status> {
                match value { $($filter => Some(Status::$variant),)* _ => None }
            }
        }
    };
}

statuses! {
    New = 0, "New", "new", "new";
    Commissioning = 1, "Commissioning", "commissioning", "commissioning";
    FailedCommissioning = 2, "Failed commissioning", "failed_commissioning", "failed";
    Missing = 3, "Missing", "missing", "other";
    Ready = 4, "Ready", "ready", "ready";
    Reserved = 5, "Reserved", "reserved", "allocated";
    Deployed = 6, "Deployed", "deployed", "deployed";
    Retired = 7, "Retired", "retired", "other";
    Broken = 8, "Broken", "broken", "broken";
    Deploying = 9, "Deploying", "deploying", "deploying";
    Allocated = 10, "Allocated", "allocated", "allocated";
    FailedDeployment = 11, "Failed deployment", "failed_deployment", "failed";
    Releasing = 12, "Releasing", "releasing", "releasing";
    FailedReleasing = 13, "Releasing failed", "failed_releasing", "failed";
    DiskErasing = 14, "Disk erasing", "disk_erasing", "releasing";
    FailedDiskErasing = 15, "Failed disk erasing", "failed_disk_erasing", "failed";
    RescueMode = 16, "Rescue mode", "rescue_mode", "rescue_mode";
    EnteringRescueMode = 17, "Entering rescue mode", "entering_rescue_mode", "rescue_mode";
    FailedEnteringRescueMode = 18, "Failed to enter rescue mode", "failed_entering_rescue_mode", "failed";
    ExitingRescueMode = 19, "Exiting rescue mode", "exiting_rescue_mode", "rescue_mode";
    FailedExitingRescueMode = 20, "Failed to exit rescue mode", "failed_exiting_rescue_mode", "failed";
    Testing = 21, "Testing", "testing", "testing";
    FailedTesting = 22, "Failed testing", "failed_testing", "failed";
}

impl Status {
    /// States from which `release` does something (reference §3.4).
    #[must_use]
    pub fn is_releasable(self) -> bool {
        matches!(
            self,
            Status::Allocated
                | Status::Reserved
                | Status::Broken
                | Status::Deploying
                | Status::Deployed
                | Status::FailedDeployment
                | Status::FailedDiskErasing
                | Status::FailedReleasing
        )
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
