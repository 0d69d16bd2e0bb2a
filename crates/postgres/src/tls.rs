//! Connections that nobody on the way can read: TLS, where the address says so.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Error;

/// What makes TLS of a connection. The server must have a certificate of its name from an authority
/// that this machine trusts, or that the file in `SSL_CERT_FILE` has; one that is not checked would
/// keep nobody out.
///
/// # Errors
///
/// There is no authority to trust.
pub(crate) fn checked() -> Result<MakeRustlsConnect, Error> {
    let mut trusted = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "certificates of authorities can't be read");
    }
    trusted.add_parsable_certificates(found.certs);
    if trusted.is_empty() {
        let what = "sslmode=require: this machine trusts no authority that could have certified \
            the database; install its certificates, or name a file of them in SSL_CERT_FILE";
        return Err(Error::new(what));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(format!("TLS can't be used: {error}")))?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
