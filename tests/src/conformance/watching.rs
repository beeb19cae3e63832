//! A watch that a case takes events from.

use std::time::Duration;

use http::Response;
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::Value;

use super::{Failure, within};

/// Longest wait for an event that is due.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open watch. What is not taken from it is not part of the transcript.
pub(super) struct Watch {
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) status: u16,
    pub(super) answered: http::HeaderMap,
    pub(super) events: Vec<Value>,
    body: Body,
    unread: Vec<u8>,
    whole: bool,
}

impl Watch {
    pub(super) fn new(path: &str, headers: Vec<(&'static str, String)>, answer: Response<Body>) -> Self {
        let (head, body) = answer.into_parts();
        Self {
            path: path.to_owned(),
            headers,
            status: head.status.as_u16(),
            answered: head.headers,
            events: Vec::new(),
            body,
            unread: Vec::new(),
            whole: false,
        }
    }

    /// Takes so many events.
    pub(super) async fn take(&mut self, count: usize) -> Result<(), Failure> {
        for number in 1..=count {
            if !self.next().await? {
                return Err(Failure::Unexpected(format!("the watch ended before event {number} of {count}")));
            }
        }
        Ok(())
    }

    /// Takes events until one is about an object of this name, which a case writes last: whatever else was due came before.
    pub(super) async fn until(&mut self, name: &str) -> Result<(), Failure> {
        loop {
            if !self.next().await? {
                return Err(Failure::Unexpected(format!("the watch ended before {name}")));
            }
            if self.events.last().is_some_and(|event| event["object"]["metadata"]["name"] == name) {
                return Ok(());
            }
        }
    }

    /// Takes all events until the server ends the watch.
    pub(super) async fn rest(&mut self) -> Result<(), Failure> {
        while self.next().await? {}
        Ok(())
    }

    /// Takes one event that is not just a bookmark; false at the end.
    async fn next(&mut self) -> Result<bool, Failure> {
        loop {
            let Some(line) = self.line().await? else { return Ok(false) };
            let text = String::from_utf8_lossy(&line).into_owned();
            let event: Value = serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.trim_end()));
            let marks_initial = event.pointer("/object/metadata/annotations/k8s.io~1initial-events-end").is_some();
            if event["type"] != "BOOKMARK" || marks_initial {
                self.events.push(event);
                return Ok(true);
            }
        }
    }

    async fn line(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            // An error instead of a watch comes without a newline.
            let end = self.unread.iter().position(|byte| *byte == b'\n');
            if let Some(end) = end {
                return Ok(Some(self.unread.drain(..=end).collect()));
            }
            if self.whole {
                let rest = std::mem::take(&mut self.unread);
                return Ok(Some(rest).filter(|rest| !rest.is_empty()));
            }
            let frame = within(PATIENCE, &format!("an event of {}", self.path), self.body.frame()).await?;
            match frame {
                None => self.whole = true,
                Some(Ok(frame)) => self.unread.extend(frame.into_data().unwrap_or_default()),
                Some(Err(error)) => return Err(Failure::Unexpected(format!("{}: {error}", self.path))),
            }
        }
    }
}
