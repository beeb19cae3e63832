//! Bodies as they arrive: at once, in two halves, or broken off.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use crate::shell::ShellError;

const FLUSH: Duration = Duration::from_millis(20);

/// The body of an answer of a [`SharedRegion`](crate::SharedRegion).
#[derive(Debug)]
pub struct SimBody {
    parts: VecDeque<(Duration, Bytes)>,
    /// What it announces itself to be long.
    left: u64,
    /// Breaks off after its parts.
    broken: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl SimBody {
    /// A body that is there at once, or whose second half comes later, or never.
    pub(crate) fn new(bytes: Bytes, pause: Option<Duration>, cut: bool) -> Self {
        let left = bytes.len() as u64;
        let second = bytes.clone().split_off(bytes.len() / 2);
        let first = bytes.slice(..bytes.len() / 2);
        let parts = match pause {
            // What came so far has to be on its way before the connection breaks.
            _ if cut => vec![(Duration::ZERO, first), (FLUSH, Bytes::new())],
            Some(pause) => vec![(Duration::ZERO, first), (pause, second)],
            None => vec![(Duration::ZERO, bytes)],
        };
        let parts = parts.into_iter().filter(|(pause, part)| !pause.is_zero() || !part.is_empty()).collect();
        Self { parts, left, broken: cut, sleep: None }
    }
}

impl Body for SimBody {
    type Data = Bytes;
    type Error = ShellError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ShellError>>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(context));
                self.sleep = None;
            }
            match self.parts.pop_front() {
                None => return Poll::Ready(std::mem::take(&mut self.broken).then_some(Err(ShellError::Dropped))),
                Some((pause, part)) if !pause.is_zero() => {
                    self.sleep = Some(Box::pin(tokio::time::sleep(pause)));
                    self.parts.push_front((Duration::ZERO, part));
                }
                Some((_, part)) if part.is_empty() => {}
                Some((_, part)) => {
                    self.left -= part.len() as u64;
                    return Poll::Ready(Some(Ok(Frame::data(part))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty() && !self.broken && self.sleep.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
