//! Shells around the region: an in-process `tower::Service` and a real HTTP/1.1 server.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, Limited};
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::body::SimBody;
use crate::control;
use crate::faults::Delivery;
use crate::region::{Happening, Outage, Region};

/// The clock of a shell: real, scaled or virtual time.
pub type ClockFn = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Why a shell gave no answer at all.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// The region is down and refuses connections ([`Outage::Refuse`]).
    #[error("connection refused: the simulated region is down")]
    Refused,
    /// The connection broke: a [`Fault`](crate::Fault) that drops it.
    #[error("connection reset by the simulated region")]
    Dropped,
    /// The request body could not be read.
    #[error("request body: {0}")]
    Body(String),
}

/// Kind of a [`ShellError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShellErrorKind {
    /// As a connection that is not accepted.
    Refused,
    /// As a connection that broke before an answer, or in the middle of it.
    Dropped,
    /// As a connection that broke while sending.
    Body,
}

impl ShellError {
    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> ShellErrorKind {
        match self {
            ShellError::Refused => ShellErrorKind::Refused,
            ShellError::Dropped => ShellErrorKind::Dropped,
            ShellError::Body(_) => ShellErrorKind::Body,
        }
    }
}

/// A region that many callers share, with a clock. Clones are the same region. It is a `tower::Service` itself, which
/// serves the API and the control endpoints.
#[derive(Clone)]
pub struct SharedRegion {
    region: Arc<Mutex<Region>>,
    clock: ClockFn,
    callers: Option<ClockFn>,
    /// Milliseconds that the region's time was put forward by.
    ahead: Arc<AtomicI64>,
    changed: Arc<Notify>,
}

impl std::fmt::Debug for SharedRegion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedRegion").finish_non_exhaustive()
    }
}

impl SharedRegion {
    /// Shares a region under that clock.
    #[must_use]
    pub fn new(region: Region, clock: ClockFn) -> Self {
        Self {
            region: Arc::new(Mutex::new(region)),
            clock,
            callers: None,
            ahead: Arc::default(),
            changed: Arc::new(Notify::new()),
        }
    }

    /// A region whose time stands still at the inventory's epoch, and moves by [`SharedRegion::advance`] only: for tests.
    #[must_use]
    pub fn standing(config: crate::Config) -> Self {
        let epoch = config.epoch;
        Self::new(Region::new(config), Arc::new(move || epoch))
    }

    /// The same region for callers who sign their requests by another clock, such as programs outside when the region's own
    /// time runs faster than theirs. The age of a signature is judged by that clock, all else happens by the region's.
    #[must_use]
    pub fn signed_by(mut self, clock: ClockFn) -> Self {
        self.callers = Some(clock);
        self
    }

    /// The clock's time, with what it was put forward by.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_millis(self.ahead.load(Ordering::SeqCst));
        (self.clock)().checked_add(ahead).unwrap_or(Timestamp::MAX)
    }

    /// Puts the region's time forward and lets happen what is due by then. Callers go on to sign by their own clock.
    pub fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX / 2);
        self.ahead.fetch_add(millis, Ordering::SeqCst);
        self.with(|region, now| {
            region.tick(now);
        });
    }

    /// Runs `work` on the region at the clock's time, after what was due by then, and wakes who waits in
    /// [`SharedRegion::changed`].
    pub fn with<T>(&self, work: impl FnOnce(&mut Region, Timestamp) -> T) -> T {
        let now = self.now();
        let out = {
            let mut region = self.lock();
            region.tick(now);
            work(&mut region, now)
        };
        self.changed.notify_one();
        out
    }

    /// Looks at the region as the last call or tick left it. Changes nothing and wakes nobody.
    pub fn look<T>(&self, look: impl FnOnce(&Region) -> T) -> T {
        look(&self.lock())
    }

    /// Lets everything happen that is due at the clock's time; answers when the next thing is due. Wakes nobody.
    pub fn tick(&self) -> Option<Timestamp> {
        let now = self.now();
        self.lock().tick(now)
    }

    /// For the driver that simulates what runs on machines: as [`SharedRegion::tick`], with what happened to hardware.
    /// Wakes nobody, so the driver may wait in [`SharedRegion::changed`] afterwards.
    pub fn drive(&self) -> (Vec<Happening>, Option<Timestamp>) {
        let now = self.now();
        let mut region = self.lock();
        let next = region.tick(now);
        (region.take_happenings(), next)
    }

    /// Waits until the region was touched since the last call: by a request, a control call or [`SharedRegion::with`].
    /// One waiter only: it is for the driver that sleeps until the next due time.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Answers one request at the clock's time, without any delay that a fault or a BMC would bring.
    ///
    /// # Errors
    /// [`ShellError::Refused`] while the region refuses connections; control endpoints still work then.
    /// [`ShellError::Dropped`] by a fault that breaks the connection.
    pub fn answer(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ShellError> {
        match self.deliver(request)? {
            Delivery::Answer { response, cut: false, .. } => Ok(response),
            Delivery::Answer { .. } | Delivery::Dropped => Err(ShellError::Dropped),
        }
    }

    /// Answers one request at the clock's time and says how the answer is to arrive, with the faults that were asked for.
    ///
    /// # Errors
    /// [`ShellError::Refused`] while the region refuses connections; control endpoints still work then.
    pub fn deliver(&self, request: Request<Bytes>) -> Result<Delivery, ShellError> {
        let control = request.uri().path().starts_with(control::PREFIX);
        let put_forward = self.ahead.load(Ordering::SeqCst) != 0;
        let signed_now = match &self.callers {
            Some(clock) => Some(clock()),
            None => put_forward.then(|| (self.clock)()),
        };
        if control && request.uri().path().trim_end_matches('/') == control::ADVANCE {
            let seconds = control::seconds_to_advance(&request);
            if let Some(by) = seconds {
                self.advance(by);
            }
            let response = control::advanced(self.now(), seconds.is_some());
            return Ok(Delivery::Answer { response, hold: Duration::ZERO, pause: None, cut: false });
        }
        self.with(|region, now| {
            region.signed_now = signed_now;
            if control {
                let response = control::handle(region, now, &request);
                return Ok(Delivery::Answer { response, hold: Duration::ZERO, pause: None, cut: false });
            }
            match region.outage {
                Some(Outage::Refuse) => Err(ShellError::Refused),
                _ => Ok(region.deliver(now, request)),
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, Region> {
        // A panic while holding it came from a test's own closure; the tables are still whole.
        self.region.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Above what the region itself refuses with 413, so that it can.
const BODY_LIMIT: usize = 16 * 1024 * 1024;

impl<B> tower::Service<Request<B>> for SharedRegion
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<SimBody>;
    type Error = ShellError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body =
                Limited::new(body, BODY_LIMIT).collect().await.map_err(|e| ShellError::Body(e.to_string()))?.to_bytes();
            match shared.deliver(Request::from_parts(parts, body))? {
                Delivery::Dropped => Err(ShellError::Dropped),
                Delivery::Answer { response, hold, pause, cut } => {
                    if !hold.is_zero() {
                        tokio::time::sleep(hold).await;
                    }
                    Ok(response.map(|bytes| SimBody::new(bytes, pause, cut)))
                }
            }
        })
    }
}

/// Serves the region over HTTP/1.1 until the future is dropped, which also ends its connections.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, shared: SharedRegion) -> std::io::Result<Infallible> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let service = hyper_util::service::TowerToHyperService::new(shared.clone());
                connections.spawn(async move {
                    let io = hyper_util::rt::TokioIo::new(stream);
                    // A refusal closes the connection without an answer; other ends are the client's business.
                    if let Err(error) = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await {
                        tracing::debug!(%error, "connection ended");
                    }
                });
            }
        }
    }
}
