//! A certificate authority of our own and a server certificate for loopback addresses, signed by it.

use super::ServerError;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// PEM texts. Clients trust `authority`, the server shows `certificate`.
pub(super) struct Pem {
    pub(super) authority: String,
    pub(super) certificate: String,
    pub(super) key: String,
}

pub(super) fn for_loopback() -> Result<Pem, ServerError> {
    make().map_err(|error| ServerError::Certificate(error.to_string()))
}

fn make() -> Result<Pem, rcgen::Error> {
    let mut root = CertificateParams::new(Vec::new())?;
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "unseed test authority");
    let root_key = KeyPair::generate()?;
    let authority = root.self_signed(&root_key)?.pem();
    let issuer = Issuer::new(root, root_key);
    let mut leaf = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    leaf.distinguished_name.push(DnType::CommonName, "localhost");
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &issuer)?.pem();
    Ok(Pem { authority, certificate, key: key.serialize_pem() })
}
