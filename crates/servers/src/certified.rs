//! A certificate for a server, and the authority that it is from.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::Result;

/// All as PEM.
#[derive(Debug)]
pub(crate) struct Certified {
    pub(crate) authority: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Certified {
    /// A new authority, and what it certifies for a server of this name.
    ///
    /// # Errors
    ///
    /// It is no name.
    pub(crate) fn new(name: &str) -> Result<Self> {
        Self::try_new(name).map_err(|error| format!("there is no certificate for {name}: {error}"))
    }

    fn try_new(name: &str) -> std::result::Result<Self, rcgen::Error> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([name.to_owned()])?.signed_by(&key, &authority)?;
        Ok(Self {
            authority: authority.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}
