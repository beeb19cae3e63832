//! Counters, served as OpenMetrics text. No per-object labels.

use std::sync::Arc;

use capmaas_reconcile::decision::StepKind;
use capmaas_reconcile::names::Kind;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    kind: String,
    outcome: &'static str,
}

/// The controller's metrics. Clones share the counters.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    passes: Family<Labels, Counter>,
    steps: Family<Labels, Counter>,
    reads: Family<Labels, Counter>,
    kube_writes: Family<Labels, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("capmaas");
        let (passes, steps, reads, kube_writes) =
            (Family::default(), Family::default(), Family::default(), Family::default());
        registry.register("reconciles", "Passes by kind of object and outcome", passes.clone());
        registry.register("steps", "Steps by kind and outcome", steps.clone());
        registry.register("maas_reads", "Reads of the fleet watcher by outcome", reads.clone());
        registry.register("kube_writes", "Writes to the management cluster by what was written", kube_writes.clone());
        Self { registry: Arc::new(registry), passes, steps, reads, kube_writes }
    }
}

impl Metrics {
    pub(crate) fn pass(&self, kind: Kind, outcome: &'static str) {
        self.passes.get_or_create(&Labels { kind: kind.to_string(), outcome }).inc();
    }

    pub(crate) fn step(&self, kind: StepKind, ok: bool) {
        self.steps.get_or_create(&Labels { kind: kind.to_string(), outcome: outcome(ok) }).inc();
    }

    pub(crate) fn read(&self, ok: bool) {
        self.reads.get_or_create(&Labels { kind: "fleet".to_owned(), outcome: outcome(ok) }).inc();
    }

    pub(crate) fn kube_write(&self, what: &str, ok: bool) {
        self.kube_writes.get_or_create(&Labels { kind: what.to_owned(), outcome: outcome(ok) }).inc();
    }

    /// The text for `/metrics`.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

fn outcome(ok: bool) -> &'static str {
    if ok { "ok" } else { "failed" }
}
