//! capmaas-provider-maas
