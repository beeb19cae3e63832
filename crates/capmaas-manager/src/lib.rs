//! capmaas-manager
