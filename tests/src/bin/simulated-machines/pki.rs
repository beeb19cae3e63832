//! Certificates, signed by the authorities that user data brings.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use capmaas_sandbox::nodes::CloudInit;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};

/// Where kubeadm and cloud-init keep certificates.
const FOLDER: &str = "/etc/kubernetes/pki";

/// A file of the machine's folder of certificates, as delivered.
pub(crate) fn delivered<'c>(cloud_init: &'c CloudInit, name: &str) -> Result<&'c str> {
    let path = format!("{FOLDER}/{name}");
    cloud_init.file(&path).with_context(|| format!("user data brings no {path}"))
}

/// An authority of the cluster.
pub(crate) struct Authority {
    /// PEM.
    pub(crate) certificate: String,
    issuer: Issuer<'static, KeyPair>,
    /// `sha256:` of the public key, as kubeadm's discovery wants it.
    pub(crate) hash: String,
}

/// A certificate and its key, PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Pair {
    /// Writes both beside each other.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> Result<()> {
        write(&folder.join(format!("{name}.crt")), &self.certificate)?;
        write(&folder.join(format!("{name}.key")), &self.key)
    }
}

/// Writes a file and the folder it is in.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let parent = path.parent().context("a folder")?;
    std::fs::create_dir_all(parent)
        .and_then(|()| std::fs::write(path, text))
        .with_context(|| path.display().to_string())
}

impl Authority {
    /// `name`.crt and `name`.key of the delivered files.
    pub(crate) fn delivered(cloud_init: &CloudInit, name: &str) -> Result<Self> {
        let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
        Self::read(delivered(cloud_init, &certificate)?, delivered(cloud_init, &key)?)
            .with_context(|| format!("{FOLDER}/{certificate} and {key}"))
    }

    fn read(certificate: &str, key: &str) -> Result<Self> {
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| anyhow!("key: {e}"))?;
        let key = match &key {
            // ring reads RSA keys in PKCS #8 only.
            PrivateKeyDer::Pkcs1(inner) => pkcs8(inner.secret_pkcs1_der()),
            other => other.secret_der().to_vec(),
        };
        let key = KeyPair::try_from(&PrivatePkcs8KeyDer::from(key)).context("key")?;
        let digest = Sha256::digest(key.subject_public_key_info());
        let hash = digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let issuer = Issuer::from_ca_cert_pem(certificate, key).context("certificate")?;
        Ok(Self { certificate: certificate.to_owned(), issuer, hash: format!("sha256:{hash}") })
    }

    /// A certificate for a server and client; `name` is its common name.
    pub(crate) fn sign(
        &self,
        name: &str,
        organisation: Option<&str>,
        names: &[String],
        addresses: &[IpAddr],
    ) -> Result<Pair> {
        let all: Vec<String> = names.iter().cloned().chain(addresses.iter().map(ToString::to_string)).collect();
        let mut params = CertificateParams::new(all)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(organisation) = organisation {
            params.distinguished_name.push(DnType::OrganizationName, organisation);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair { certificate, key: key.serialize_pem() })
    }
}

/// An RSA key of PKCS #1 in the envelope of PKCS #8 (RFC 5208): version 0, algorithm rsaEncryption, the key.
fn pkcs8(pkcs1: &[u8]) -> Vec<u8> {
    const HEADER: [u8; 18] =
        [0x02, 0x01, 0x00, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let body = [HEADER.to_vec(), element(0x04, pkcs1)].concat();
    element(0x30, &body)
}

/// One element of DER with that tag.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    if let Ok(short @ 0..0x80) = u8::try_from(length) {
        out.push(short);
    } else {
        let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        out.push(0x80 | u8::try_from(bytes.len()).unwrap_or(u8::MAX));
        out.extend(bytes);
    }
    out.extend(content);
    out
}
