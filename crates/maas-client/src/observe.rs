//! A hook for metrics: one report per call.

use std::time::Duration;

use crate::error::ErrorKind;
use crate::operation::Operation;

/// What one call was, after it ended (for streams: after the head of the answer). Holds no secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallReport {
    /// The row of the table; its `name` and `class` make good labels, being few.
    pub operation: &'static Operation,
    /// HTTP status of the last attempt, if an answer came.
    pub status: Option<u16>,
    /// How it failed; none for success.
    pub failure: Option<ErrorKind>,
    /// How often it was sent; 0 when refused before sending.
    pub attempts: u32,
    /// Bytes of the successful answer read so far.
    pub bytes: u64,
    /// From the call to its end, waits between attempts included.
    pub elapsed: Duration,
}

impl CallReport {
    pub(crate) fn new(operation: &'static Operation, attempts: u32, elapsed: Duration) -> Self {
        Self { operation, status: None, failure: None, attempts, bytes: 0, elapsed }
    }
}

/// Receives the reports of a [`crate::Client`]; must not block. Closures are observers.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::sync::Arc;
///
/// # fn main() -> Result<(), maas_client::BuildError> {
/// let failures = Arc::new(AtomicU64::new(0));
/// let counter = failures.clone();
/// let client = maas_client::Client::builder("http://maas.example:5240", "consumer:token:secret")?
///     .observer(move |report: &maas_client::CallReport| {
///         if report.failure.is_some() {
///             counter.fetch_add(1, Ordering::Relaxed);
///         }
///     });
/// # Ok(())
/// # }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// A call ended.
    fn call(&self, report: &CallReport);
}

impl<F: Fn(&CallReport) + Send + Sync + 'static> Observer for F {
    fn call(&self, report: &CallReport) {
        self(report);
    }
}
