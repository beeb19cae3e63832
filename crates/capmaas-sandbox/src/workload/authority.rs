//! The certificate authority of workload clusters.

use base64::Engine as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use sha2::{Digest, Sha256};

use super::WorkloadError;

/// `openssl x509 -in fixed-ca.pem -pubkey -noout | openssl pkey -pubin -outform der | sha256sum`
const FIXED_HASH: &str = "sha256:e6571d0735b12f47098112a41386468fd3573a0477b3c1ea2e44c6004b6f5494";

/// Certificate and key of a Kubernetes authority (CN `kubernetes`), as PEM.
#[derive(Clone)]
pub struct Authority {
    certificate: String,
    key: String,
    public_key_hash: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("public_key_hash", &self.public_key_hash).finish_non_exhaustive()
    }
}

impl Authority {
    /// The authority that is checked in, so that two runs with one seed are equal to the byte. Its key is public: good for
    /// runs in process, where nothing trusts it.
    pub fn fixed() -> Self {
        Self {
            certificate: include_str!("fixed-ca.pem").to_owned(),
            key: include_str!("fixed-ca-key.pem").to_owned(),
            public_key_hash: FIXED_HASH.to_owned(),
        }
    }

    /// A new authority from the system's randomness, for runs over sockets.
    pub fn generate() -> Result<Self, WorkloadError> {
        let key = KeyPair::generate()?;
        let certificate = authority_params()?.self_signed(&key)?.pem();
        Self::from_pem(certificate, key.serialize_pem())
    }

    fn from_pem(certificate: String, key: String) -> Result<Self, WorkloadError> {
        let digest = Sha256::digest(KeyPair::from_pem(&key)?.subject_public_key_info());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { certificate, key, public_key_hash: format!("sha256:{hex}") })
    }

    /// The certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The private key, PKCS#8 PEM.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// kubeadm's `--discovery-token-ca-cert-hash`: `sha256:` of the public key.
    pub fn public_key_hash(&self) -> &str {
        &self.public_key_hash
    }

    /// A serving certificate (CN `kube-apiserver`) for these names and addresses, and its key, both PEM.
    pub fn issue(&self, names: &[String]) -> Result<(String, String), WorkloadError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name = common_name("kube-apiserver");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let issuer = Issuer::new(authority_params()?, KeyPair::from_pem(&self.key)?);
        Ok((params.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
    }

    /// The certificate in base64, as kubeconfigs carry it.
    pub(super) fn certificate_data(&self) -> String {
        base64::engine::general_purpose::STANDARD.encode(&self.certificate)
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut dn = DistinguishedName::new();
    dn.push(DnType::CommonName, name);
    dn
}

fn authority_params() -> Result<CertificateParams, WorkloadError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = common_name("kubernetes");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_authority_is_consistent() {
        let fixed = Authority::fixed();
        let read = Authority::from_pem(fixed.certificate.clone(), fixed.key.clone()).unwrap();
        assert_eq!(fixed.public_key_hash(), read.public_key_hash());
    }

    #[test]
    fn a_generated_authority_issues_serving_certificates() {
        let authority = Authority::generate().unwrap();
        let (certificate, key) = authority.issue(&["my-cluster.maas".into(), "127.0.0.1".into()]).unwrap();
        assert!(certificate.starts_with("-----BEGIN CERTIFICATE") && key.contains("PRIVATE KEY"));
        assert_ne!(authority.public_key_hash(), Authority::fixed().public_key_hash());
        assert!(!format!("{authority:?}").contains("PRIVATE"), "the key does not show");
    }
}
