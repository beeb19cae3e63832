//! The authority of a run and what it signs; all of it lives as long as the run's folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// Files of a run's certificates.
pub(super) struct Certificates {
    /// The authority's certificate.
    pub(super) ca: PathBuf,
    /// The same, as text.
    pub(super) ca_pem: String,
    /// Folder with `tls.crt` and `tls.key`, for every server of the run: all are 127.0.0.1.
    pub(super) server: PathBuf,
    /// Key that signs tokens of ServiceAccounts.
    pub(super) service_accounts: PathBuf,
    /// Its public half. The API server does not find it in a PKCS #8 file.
    pub(super) service_accounts_public: PathBuf,
}

impl Certificates {
    /// Makes an authority, a server certificate for loopback and a signing key in `folder`.
    pub(super) fn make(folder: &Path) -> Result<Self> {
        let server = folder.join("server");
        fs::create_dir_all(&server).with_context(|| format!("making {}", server.display()))?;
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        authority.distinguished_name.push(DnType::CommonName, "capmaas-e2e");
        let ca_pem = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);

        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &issuer)?;

        let made = Self {
            ca: folder.join("ca.crt"),
            ca_pem,
            service_accounts: folder.join("service-accounts.key"),
            service_accounts_public: folder.join("service-accounts.pub"),
            server: server.clone(),
        };
        let write =
            |path: &Path, text: &str| fs::write(path, text).with_context(|| format!("writing {}", path.display()));
        write(&made.ca, &made.ca_pem)?;
        write(&server.join("tls.crt"), &certificate.pem())?;
        write(&server.join("tls.key"), &key.serialize_pem())?;
        let signer = KeyPair::generate()?;
        write(&made.service_accounts, &signer.serialize_pem())?;
        write(&made.service_accounts_public, &signer.public_key_pem())?;
        Ok(made)
    }
}
