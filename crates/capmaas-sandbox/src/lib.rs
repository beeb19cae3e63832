//! capmaas-sandbox
