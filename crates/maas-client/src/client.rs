//! The client and its builder.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use secrecy::SecretSlice;
use tokio::sync::{OnceCell, SemaphorePermit};
use tower::Service;

use crate::base_url::{BaseUrl, UrlError};
use crate::capabilities::Capabilities;
use crate::dns::{DnsRecordsClient, DnsResourcesClient, DomainsClient};
use crate::error::Error;
use crate::hardware::{BlockDevicesClient, InterfacesClient, PartitionsClient};
use crate::images::BootResourcesClient;
use crate::key::{ApiKey, ApiKeyError};
use crate::limits::{Deadlines, Lanes, RetryPolicy, Turns};
use crate::machines::MachinesClient;
use crate::maintenance::{DevicesClient, MaintenanceClient};
use crate::network::{
    FabricsClient, IpAddressesClient, IpRangesClient, ReservedIpsClient, SpacesClient, StaticRoutesClient,
    SubnetsClient, VlansClient,
};
use crate::oauth::{Stamp, StampSource, SystemStamps};
use crate::observe::{CallReport, Observer};
use crate::operation::CallClass;
use crate::people::{AccountClient, ConfigClient, NotificationsClient, SshKeysClient, UsersClient};
use crate::places::{PoolsClient, TagsClient, ZonesClient};
use crate::region::{EventsClient, VersionsClient};
use crate::results::ResultsClient;
use crate::scripts::ScriptsClient;
use crate::transport::{BoxError, RequestBody, Transport, erase};
use crate::wire::{self, Proxy, Trust};

/// Why a client can't be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The URL.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The key.
    #[error(transparent)]
    Key(#[from] ApiKeyError),
    /// The certificates given or found can't be used.
    #[error("can't set up TLS: {0}")]
    Tls(String),
    /// The proxy, given or from the environment, can't be used.
    #[error("can't use the proxy: {0}")]
    Proxy(String),
}

/// Collects what a [`Client`] needs; only URL and key are mandatory.
pub struct ClientBuilder {
    base: BaseUrl,
    key: ApiKey,
    deadlines: Deadlines,
    retry: RetryPolicy,
    stamps: Arc<dyn StampSource>,
    rng: fastrand::Rng,
    reply_limit: usize,
    total: Option<Duration>,
    lanes: Lanes,
    observer: Option<Arc<dyn Observer>>,
    trust: Trust,
    proxy: Proxy,
}

impl ClientBuilder {
    /// Deadlines per class of call.
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// How long connecting (DNS, TCP, proxy, TLS) may take; 5 s unless set.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.deadlines.connect = timeout;
        self
    }

    /// How calls are repeated; [`RetryPolicy::none`] switches it off.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Longest time for a call with all its attempts and the waits between them; none unless set. What is
    /// left of it also shortens the deadline of an attempt.
    pub fn total_deadline(mut self, deadline: Duration) -> Self {
        self.total = Some(deadline);
        self
    }

    /// How many calls are under way at once; no limits unless set.
    pub fn lanes(mut self, lanes: Lanes) -> Self {
        self.lanes = lanes;
        self
    }

    /// Gets a report of every call, e.g. to count them.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Source of nonces and times; the system's unless set.
    pub fn stamps(mut self, source: impl StampSource) -> Self {
        self.stamps = Arc::new(source);
        self
    }

    /// Source of jitter; seeded at random unless set.
    pub fn rng(mut self, rng: fastrand::Rng) -> Self {
        self.rng = rng;
        self
    }

    /// Largest answer in bytes; 512 MiB unless set (a full list has 15 to 35 KB per machine).
    pub fn reply_limit(mut self, bytes: usize) -> Self {
        self.reply_limit = bytes;
        self
    }

    /// Certificates (PEM) to trust *instead of* the system's. Only for [`ClientBuilder::build`].
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.trust.ca_pem = Some(pem.into());
        self
    }

    /// A certificate (PEM, with its chain) and its key (PEM) to show to whatever asks for one, such as a
    /// reverse proxy before MAAS. Only for [`ClientBuilder::build`].
    pub fn identity_pem(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.trust.identity_pem = Some((certificate.into(), SecretSlice::from(key.into())));
        self
    }

    /// Connects directly, whatever HTTP_PROXY, HTTPS_PROXY and NO_PROXY say.
    pub fn no_proxy(mut self) -> Self {
        self.proxy = Proxy::None;
        self
    }

    /// Connects through this `http://[user:password@]host:port` proxy instead of the environment's:
    /// CONNECT for https, the whole URL in the request line for http.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Proxy::Url(url.into());
        self
    }

    /// A client over hyper and rustls (ring). Needs a tokio runtime when calls are made.
    pub fn build(self) -> Result<Client, BuildError> {
        if !self.base.is_https() && !self.base.is_loopback() {
            tracing::warn!(url = %self.base, "the MAAS API key goes over the network unencrypted (http)");
        }
        let transport = wire::transport(&self.base, &self.trust, &self.proxy, self.deadlines.connect)?;
        Ok(self.over(transport))
    }

    /// A client over any service: a simulator, a recorder, a fault injector, another HTTP stack.
    pub fn build_with_service<S, B>(self, service: S) -> Client
    where
        S: Service<http::Request<RequestBody>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.over(erase(service))
    }

    fn over(self, transport: Transport) -> Client {
        Client(Arc::new(Shared {
            base: self.base,
            key: self.key,
            transport,
            deadlines: self.deadlines,
            retry: self.retry,
            stamps: self.stamps,
            rng: Mutex::new(self.rng),
            reply_limit: self.reply_limit,
            total: self.total,
            turns: Turns::new(self.lanes),
            observer: self.observer,
            capabilities: OnceCell::new(),
        }))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("url", &self.base.as_str())
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

struct Shared {
    base: BaseUrl,
    key: ApiKey,
    transport: Transport,
    deadlines: Deadlines,
    retry: RetryPolicy,
    stamps: Arc<dyn StampSource>,
    rng: Mutex<fastrand::Rng>,
    reply_limit: usize,
    total: Option<Duration>,
    turns: Turns,
    observer: Option<Arc<dyn Observer>>,
    capabilities: OnceCell<Capabilities>,
}

macro_rules! groups {
    ($($(#[$doc:meta])* $name:ident: $client:ident,)+) => {
        $(
            $(#[$doc])*
            pub fn $name(&self) -> $client {
                $client(self.clone())
            }
        )+
    };
}

/// A MAAS region and a key. Cheap to clone; clones share connections.
///
/// Calls are grouped as MAAS groups them; each group is a trait with a handle that implements it:
/// `client.machines()` is a [`MachinesClient`], which implements [`crate::Machines`]. Programs take
/// the trait (`impl Machines`, `Arc<dyn Machines>`) and can be tested with its mock.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

impl Client {
    /// Starts with URL (any form of [`BaseUrl`]) and key (`consumer:token:secret`).
    pub fn builder(url: &str, api_key: &str) -> Result<ClientBuilder, BuildError> {
        Ok(Self::builder_for(url.parse()?, api_key.parse()?))
    }

    /// Starts with URL and key already checked.
    pub fn builder_for(base: BaseUrl, key: ApiKey) -> ClientBuilder {
        ClientBuilder {
            base,
            key,
            deadlines: Deadlines::default(),
            retry: RetryPolicy::default(),
            stamps: Arc::new(SystemStamps),
            rng: fastrand::Rng::new(),
            reply_limit: 512 * 1024 * 1024,
            total: None,
            lanes: Lanes::default(),
            observer: None,
            trust: Trust::default(),
            proxy: Proxy::Environment,
        }
    }

    /// A client over a service with defaults for everything else.
    pub fn with_service<S, B>(base: BaseUrl, key: ApiKey, service: S) -> Self
    where
        S: Service<http::Request<RequestBody>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::builder_for(base, key).build_with_service(service)
    }

    /// Root of the API.
    pub fn base_url(&self) -> &BaseUrl {
        &self.0.base
    }

    groups! {
        /// Machines: from allocate to release.
        machines: MachinesClient,
        /// Care of machines: enlist, commission, test, rescue, storage layout, delete.
        maintenance: MaintenanceClient,
        /// Network interfaces of machines.
        interfaces: InterfacesClient,
        /// Block devices of machines.
        block_devices: BlockDevicesClient,
        /// Partitions of block devices.
        partitions: PartitionsClient,
        /// Things on the network that MAAS names but does not deploy.
        devices: DevicesClient,
        /// Script results: commissioning, tests, and the log of a deployment.
        results: ResultsClient,
        /// Scripts that commissioning and tests run.
        scripts: ScriptsClient,
        /// DNS names and their addresses.
        dns_resources: DnsResourcesClient,
        /// DNS records other than addresses.
        dns_records: DnsRecordsClient,
        /// DNS domains.
        domains: DomainsClient,
        /// Availability zones.
        zones: ZonesClient,
        /// Resource pools.
        pools: PoolsClient,
        /// Tags.
        tags: TagsClient,
        /// Subnets.
        subnets: SubnetsClient,
        /// VLANs.
        vlans: VlansClient,
        /// Fabrics.
        fabrics: FabricsClient,
        /// Spaces.
        spaces: SpacesClient,
        /// Addresses in use, and reservations.
        ip_addresses: IpAddressesClient,
        /// Ranges of addresses.
        ip_ranges: IpRangesClient,
        /// Addresses kept for a hardware address (MAAS 3.6+).
        reserved_ips: ReservedIpsClient,
        /// Routes between subnets.
        static_routes: StaticRoutesClient,
        /// Images.
        boot_resources: BootResourcesClient,
        /// Version.
        version: VersionsClient,
        /// Users.
        users: UsersClient,
        /// The caller's ssh keys.
        ssh_keys: SshKeysClient,
        /// The caller's API keys.
        account: AccountClient,
        /// Notices in the web interface.
        notifications: NotificationsClient,
        /// Settings of the region.
        config: ConfigClient,
        /// Events.
        events: EventsClient,
    }

    pub(crate) fn key(&self) -> &ApiKey {
        &self.0.key
    }

    pub(crate) fn transport(&self) -> Transport {
        self.0.transport.clone()
    }

    pub(crate) fn deadline(&self, class: CallClass) -> Duration {
        self.0.deadlines.of(class)
    }

    pub(crate) fn reply_limit(&self) -> usize {
        self.0.reply_limit
    }

    pub(crate) fn total_deadline(&self) -> Option<Duration> {
        self.0.total
    }

    pub(crate) async fn turn(&self, class: CallClass) -> Option<SemaphorePermit<'_>> {
        self.0.turns.turn(class).await
    }

    pub(crate) fn observe(&self, report: &CallReport) {
        if let Some(observer) = &self.0.observer {
            observer.call(report);
        }
    }

    pub(crate) fn known_capabilities(&self) -> &OnceCell<Capabilities> {
        &self.0.capabilities
    }

    pub(crate) fn stamp(&self) -> Stamp {
        self.0.stamps.stamp()
    }

    pub(crate) fn retry_wait(&self, error: &Error, attempts: u32) -> Option<Duration> {
        let mut rng = self.0.rng.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.retry.wait(error, attempts, &mut rng)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.0.base.as_str()).field("key", &self.0.key).finish_non_exhaustive()
    }
}
