//! The one door to the network: any `tower::Service` from `http::Request` to `http::Response`.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};

/// Any error of a transport.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Body of a request: always whole in memory, so that an attempt can be repeated.
pub type RequestBody = Full<Bytes>;

/// Body of a reply, erased.
pub type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// The erased transport a [`crate::Client`] runs over.
pub type Transport = BoxCloneSyncService<http::Request<RequestBody>, http::Response<ResponseBody>, BoxError>;

/// Marks an error of a transport that happened before any byte of the request left: resending is
/// safe even for writes. Connection failures of the built-in transport carry it; own transports and
/// fault injectors may wrap their errors in it.
#[derive(Debug, thiserror::Error)]
#[error("the request was not sent")]
pub struct NotSent(#[source] pub BoxError);

/// Erases a service: what [`crate::ClientBuilder::build_with_service`] does first.
pub fn erase<S, B>(service: S) -> Transport
where
    S: Service<http::Request<RequestBody>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    BoxCloneSyncService::new(
        service
            .map_response(|reply: http::Response<B>| reply.map(|body| body.map_err(Into::into).boxed_unsync()))
            .map_err(Into::into),
    )
}
