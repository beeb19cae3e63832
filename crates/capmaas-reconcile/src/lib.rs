//! capmaas-reconcile
