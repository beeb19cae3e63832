//! Long lists, decoded while they arrive.
//!
//! A full machine list is hundreds of megabytes of JSON, most of which nobody reads. The parts that
//! have arrived are decoded entry by entry and dropped, so that neither the text nor the entries already
//! handed out have to stay in memory.

use std::marker::PhantomData;
use std::pin::Pin;

use bytes::{Buf as _, BytesMut};
use futures::Stream;
use http::StatusCode;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;

use crate::call::{Call, Take, Taken};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::transport::ResponseBody;

/// How much has to arrive before the next try to decode: an entry cut in two is decoded twice, so tries
/// should be rare compared with entries.
const BATCH: usize = 256 * 1024;

/// A stream of entries; ends after the first error.
pub type Entries<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;

/// Where in the array the text that is left begins.
#[derive(Clone, Copy, PartialEq)]
enum At {
    Start,
    /// After `[`: an entry, or the end.
    First,
    /// After a comma.
    Entry,
    /// After an entry: a comma, or the end.
    Separator,
    End,
}

/// Takes a JSON array apart that comes in pieces.
pub(crate) struct Elements<T> {
    rest: BytesMut,
    at: At,
    /// Length of `rest` at which the next try is worth it.
    next_try: usize,
    entry: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Elements<T> {
    pub(crate) fn new() -> Self {
        Self { rest: BytesMut::new(), at: At::Start, next_try: BATCH, entry: PhantomData }
    }

    /// Text that waits for its entry to be complete.
    fn pending(&self) -> usize {
        self.rest.len()
    }

    /// Adds a piece; decoded entries go to `out`.
    pub(crate) fn push(&mut self, piece: &[u8], out: &mut Vec<T>) -> Result<(), serde_json::Error> {
        self.rest.extend_from_slice(piece);
        if self.rest.len() < self.next_try {
            return Ok(());
        }
        self.drain(out)?;
        self.next_try = (2 * self.rest.len()).max(BATCH);
        Ok(())
    }

    /// No more pieces: what is left must complete the array.
    pub(crate) fn finish(&mut self, out: &mut Vec<T>) -> Result<(), serde_json::Error> {
        self.drain(out)?;
        self.skip_blanks();
        if self.at == At::End && self.rest.is_empty() {
            return Ok(());
        }
        // serde_json says best what is wrong, or that it is no list at all
        let text = match self.at {
            At::Start => self.rest.to_vec(),
            At::End => [b"[]", &self.rest[..]].concat(),
            At::First | At::Entry => [b"[", &self.rest[..]].concat(),
            At::Separator => [b"[0", &self.rest[..]].concat(),
        };
        serde_json::from_slice::<Vec<serde::de::IgnoredAny>>(&text).map(drop)?;
        Err(serde::de::Error::custom("the list goes wrong in the middle"))
    }

    fn skip_blanks(&mut self) {
        let blanks = self.rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.rest.advance(blanks);
    }

    /// Decodes as many entries as are complete.
    fn drain(&mut self, out: &mut Vec<T>) -> Result<(), serde_json::Error> {
        loop {
            self.skip_blanks();
            let Some(&byte) = self.rest.first() else { return Ok(()) };
            match (self.at, byte) {
                (At::Start, b'[') => self.step(At::First),
                (At::Separator, b',') => self.step(At::Entry),
                (At::First | At::Separator, b']') => self.step(At::End),
                (At::Start | At::Separator | At::End, _) => return Ok(()), // finish() says what is wrong
                (At::First | At::Entry, _) => {
                    let mut entries = serde_json::Deserializer::from_slice(&self.rest).into_iter::<T>();
                    match entries.next() {
                        Some(Ok(entry)) if entries.byte_offset() < self.rest.len() => {
                            let used = entries.byte_offset();
                            out.push(entry);
                            self.rest.advance(used);
                            self.at = At::Separator;
                        }
                        // at the very end a number may go on in the next piece
                        Some(Ok(_)) | None => return Ok(()),
                        Some(Err(fault)) if fault.is_eof() => return Ok(()),
                        Some(Err(fault)) => return Err(fault),
                    }
                }
            }
        }
    }

    fn step(&mut self, at: At) {
        self.rest.advance(1);
        self.at = at;
    }
}

/// Decodes a whole list while it arrives.
struct Collect<T>(PhantomData<fn() -> T>);

impl<T: DeserializeOwned + Send> Take for Collect<T> {
    type Out = Vec<T>;

    async fn take(
        &self,
        operation: &'static Operation,
        status: StatusCode,
        mut body: ResponseBody,
        limit: usize,
    ) -> Result<Taken<Vec<T>>> {
        let (mut elements, mut value, mut bytes) = (Elements::new(), Vec::new(), 0);
        let mut head = BytesMut::new(); // for the words of an error
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Error::transport(operation, error))?;
            let Ok(data) = frame.into_data() else { continue };
            bytes += data.len() as u64;
            if bytes > limit as u64 {
                return Err(Error::too_large(operation, limit));
            }
            if head.len() < 4096 {
                head.extend_from_slice(&data[..data.len().min(4096)]);
            }
            elements.push(&data, &mut value).map_err(|fault| Error::decode(operation, status, &head, fault))?;
            // `[{},{},…` is three bytes of text per entry, but not in memory
            if value.len().saturating_mul(size_of::<T>()) > limit {
                return Err(Error::too_large(operation, limit));
            }
            // a body that never makes us wait must not keep the deadline from being looked at
            tokio::task::consume_budget().await;
        }
        elements.finish(&mut value).map_err(|fault| Error::decode(operation, status, &head, fault))?;
        Ok(Taken { status, bytes, value })
    }
}

/// Hands the body on; what follows is up to the stream.
struct Open;

impl Take for Open {
    type Out = ResponseBody;

    async fn take(
        &self,
        _: &'static Operation,
        status: StatusCode,
        body: ResponseBody,
        _: usize,
    ) -> Result<Taken<ResponseBody>> {
        Ok(Taken { status, bytes: 0, value: body })
    }
}

/// A list on its way in.
struct Arriving<T> {
    client: Client,
    operation: &'static Operation,
    status: StatusCode,
    body: ResponseBody,
    elements: Elements<T>,
    ready: std::vec::IntoIter<T>,
    /// Beginning of the text, for the words of an error.
    head: BytesMut,
    over: bool,
    fault: Option<Error>,
}

impl<T: DeserializeOwned + Send> Arriving<T> {
    /// The next entry; each wait for more bytes has the deadline of the operation's class, while the
    /// caller may take as long as it likes between entries.
    async fn next(&mut self) -> Result<Option<T>> {
        loop {
            if let Some(entry) = self.ready.next() {
                return Ok(Some(entry));
            }
            if self.over {
                return self.fault.take().map_or(Ok(None), Err);
            }
            let deadline = self.client.deadline(self.operation.class);
            let frame = tokio::time::timeout(deadline, self.body.frame())
                .await
                .map_err(|_| Error::timed_out(self.operation, deadline))?
                .transpose()
                .map_err(|error| Error::transport(self.operation, error))?;
            let mut entries = Vec::new();
            let decoded = match frame.map(http_body::Frame::into_data) {
                Some(Ok(data)) => {
                    if self.head.len() < 4096 {
                        self.head.extend_from_slice(&data[..data.len().min(4096)]);
                    }
                    self.elements.push(&data, &mut entries)
                }
                Some(Err(_trailers)) => Ok(()),
                None => {
                    self.over = true;
                    self.elements.finish(&mut entries)
                }
            };
            if self.elements.pending() > self.client.reply_limit() {
                return Err(Error::too_large(self.operation, self.client.reply_limit()));
            }
            // entries complete before the fault are still handed out
            self.ready = entries.into_iter();
            if let Err(fault) = decoded {
                self.over = true;
                self.fault = Some(Error::decode(self.operation, self.status, &self.head, fault));
            }
        }
    }
}

impl Client {
    /// Sends and decodes a list entry by entry.
    pub(crate) async fn list<T: DeserializeOwned + Send>(&self, call: Call) -> Result<Vec<T>> {
        self.answer(&call, &Collect(PhantomData)).await.map(|reply| reply.value)
    }

    /// Sends when first polled and hands out entries as they arrive.
    pub(crate) fn entries<T: DeserializeOwned + Send + 'static>(&self, call: Call) -> Entries<T> {
        enum State<T> {
            Unsent(Client, Call),
            Open(Box<Arriving<T>>),
        }
        Box::pin(futures::stream::try_unfold(State::Unsent(self.clone(), call), |state| async move {
            let mut arriving = match state {
                State::Open(arriving) => arriving,
                State::Unsent(client, call) => {
                    let reply = client.answer(&call, &Open).await?;
                    Box::new(Arriving {
                        operation: call.operation(),
                        status: reply.status,
                        body: reply.value,
                        elements: Elements::new(),
                        ready: Vec::new().into_iter(),
                        head: BytesMut::new(),
                        over: false,
                        fault: None,
                        client,
                    })
                }
            };
            Ok(arriving.next().await?.map(|entry| (entry, State::Open(arriving))))
        }))
    }
}

#[cfg(test)]
mod tests;
