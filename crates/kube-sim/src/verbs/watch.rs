//! A watch is a cursor into the log.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Query, State, Target};
use crate::error::ApiError;

/// Where a watch starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Everything there is as ADDED, then changes.
    Current,
    /// As `Current`, then a bookmark that says the initial events have ended (`sendInitialEvents`).
    CurrentThenBookmark,
    /// Changes after this revision.
    After(u64),
}

/// One running watch.
#[derive(Debug)]
pub(crate) struct Cursor {
    target: Target,
    query: Query,
    at: u64,
    initial: VecDeque<Value>,
    bookmarks: bool,
    ended: bool,
}

/// An event before it is presented: type and object.
pub(crate) type Event = (&'static str, Value);

impl Cursor {
    pub(crate) fn open(
        state: &State,
        target: Target,
        query: Query,
        start: Start,
        bookmarks: bool,
    ) -> Result<Self, ApiError> {
        let mut out =
            Self { target, query, at: state.store.revision(), initial: VecDeque::new(), bookmarks, ended: false };
        match start {
            Start::After(revision) => out.at = revision,
            Start::Current | Start::CurrentThenBookmark => {
                let all = Query {
                    resource_version: String::new(),
                    limit: 0,
                    next: String::new(),
                    exact: false,
                    ..out.query.clone()
                };
                out.initial.extend(
                    state.list(&out.target, &all)?.items.into_iter().map(|o| json!({"type": "ADDED", "object": o})),
                );
                if start == Start::CurrentThenBookmark && bookmarks {
                    let mut mark = out.bookmark();
                    mark["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
                    out.initial.push_back(json!({"type": "BOOKMARK", "object": mark}));
                }
            }
        }
        Ok(out)
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Nothing more will come: the kind is gone or the cursor is too old.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// A last bookmark before the watch times out, so that the next one starts late in the log.
    pub(crate) fn farewell(&self) -> Option<Event> {
        self.bookmarks.then(|| ("BOOKMARK", self.bookmark()))
    }

    fn bookmark(&self) -> Value {
        json!({"kind": self.target.kind.kind, "apiVersion": self.target.kind.api_version(self.target.version),
            "metadata": {"resourceVersion": self.at.to_string()}})
    }

    /// What happened since the last call.
    pub(crate) fn advance(&mut self, state: &State) -> Vec<Event> {
        let mut out: Vec<Event> = self
            .initial
            .drain(..)
            .map(|mut e| (if e["type"] == "ADDED" { "ADDED" } else { "BOOKMARK" }, e["object"].take()))
            .collect();
        if self.ended {
            return out;
        }
        match state.store.since(self.at) {
            Err(gone) => {
                self.ended = true;
                let text = format!("too old resource version: {} ({})", self.at, gone.oldest);
                out.push(("ERROR", ApiError::expired(text).to_status()));
            }
            Ok(changes) => {
                for change in changes {
                    if change.key.resource != self.target.kind.id
                        || (!self.target.namespace.is_empty() && change.key.namespace != self.target.namespace)
                    {
                        continue;
                    }
                    out.extend(self.event(change));
                }
                self.at = state.store.revision();
                // A replaced CRD keeps its watches going in the old shape; a removed one ends them.
                self.ended = state.kinds.get(&self.target.kind.group, &self.target.kind.plural).is_none();
            }
        }
        out
    }

    fn event(&self, change: &Arc<crate::store::Change>) -> Option<Event> {
        let shown = |v: &Option<Arc<Value>>| {
            v.as_ref().map(|s| self.target.show(s)).filter(|s| self.query.selects(&self.target.kind, s))
        };
        match (shown(&change.before), shown(&change.after)) {
            (None, None) => None,
            (None, Some(new)) => Some(("ADDED", new)),
            (Some(_), Some(new)) => Some(("MODIFIED", new)),
            (Some(mut old), None) => {
                old["metadata"]["resourceVersion"] = json!(change.revision.to_string());
                Some(("DELETED", old))
            }
        }
    }
}
