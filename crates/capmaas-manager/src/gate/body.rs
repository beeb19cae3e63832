//! The body of an answer that came through a gate.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::frost::Frost;

/// See the module.
pub struct GatedBody<B> {
    content: Content<B>,
    /// How many frames still pass before the body ends; all when `None`.
    frames: Option<usize>,
    frost: Frost,
}

enum Content<B> {
    Passed(B),
    Canned(Option<Bytes>),
}

impl<B> GatedBody<B> {
    pub(super) fn passed(body: B, frames: Option<usize>, frost: Frost) -> Self {
        Self { content: Content::Passed(body), frames, frost }
    }

    pub(super) fn canned(text: Bytes, frost: Frost) -> Self {
        Self { content: Content::Canned(Some(text)), frames: None, frost }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for GatedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        ready!(self.frost.poll_thawed(cx));
        if self.frames == Some(0) {
            return Poll::Ready(None);
        }
        let frame = match &mut self.content {
            Content::Passed(body) => ready!(Pin::new(body).poll_frame(cx)),
            Content::Canned(text) => text.take().map(|text| Ok(Frame::data(text))),
        };
        self.frames = self.frames.map(|left| left - 1);
        Poll::Ready(frame)
    }
}
