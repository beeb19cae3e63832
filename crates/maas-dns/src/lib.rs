//! maas-dns
