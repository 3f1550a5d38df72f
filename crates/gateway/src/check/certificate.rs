//! Certificates and their private keys, refused in the words of APISIX, which has them from OpenSSL.

use crate::plugins::PluginSet;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use model::{
    documents::{Ssl, SslType},
    pattern::{Case, Pattern},
    secret::Secret,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

/// Checks every pair of a document, and what its clients have to show.
pub(super) fn check(plugins: &PluginSet, ssl: &Ssl) -> Result<(), String> {
    let (cert, key) = ssl.first();
    check_pair(plugins, cert, key)?;
    for (at, (cert, key)) in ssl.others().map_err(|error| error.to_string())?.enumerate() {
        check_pair(plugins, cert, key).map_err(|why| format!("failed to handle cert-key pair[{}]: {why}", at + 1))?;
    }
    let Some(client) = ssl.client.as_ref().filter(|_| ssl.usage == SslType::Server) else { return Ok(()) };
    if let Some(ca) = resolve(plugins, &client.ca) {
        parse_cert(&ca).map_err(|why| format!("failed to validate client_cert: {why}"))?;
    }
    for pattern in &client.skip_mtls_uri_regex {
        Pattern::compile(pattern, Case::Sensitive)
            .map_err(|error| format!("invalid configuration: skip_mtls_uri_regex: {error}"))?;
    }
    Ok(())
}

/// A pair of which a reference leads nowhere is taken, as in APISIX, and identifies nobody.
pub(super) fn check_pair(plugins: &PluginSet, cert: &str, key: &Secret<String>) -> Result<(), String> {
    let certified = resolve(plugins, cert).map(|cert| parse_cert(&cert)).transpose()?;
    let public = resolve(plugins, key.expose()).map(|key| parse_key(&key)).transpose()?;
    match (certified, public) {
        (Some(certified), Some(public)) if certified != public => {
            Err("the private key does not belong to the certificate".to_owned())
        }
        _ => Ok(()),
    }
}

/// The text itself, or what its reference leads to.
fn resolve(plugins: &PluginSet, text: &str) -> Option<Secret<String>> {
    plugins
        .resolve(text)
        .inspect_err(|error| tracing::error!(%error, "a certificate or private key cannot be used"))
        .ok()
        .map(Secret::new)
}

/// The public key of the first certificate; all of them must be certificates.
fn parse_cert(pem: &Secret<String>) -> Result<Vec<u8>, String> {
    let wrong = || "failed to parse cert: PEM_read_bio_X509_AUX() failed".to_owned();
    let mut first = None;
    for der in CertificateDer::pem_slice_iter(pem.expose().as_bytes()) {
        let der = der.map_err(|_| wrong())?;
        let (rest, cert) = X509Certificate::from_der(&der).map_err(|_| wrong())?;
        if !rest.is_empty() {
            return Err(wrong());
        }
        first.get_or_insert_with(|| cert.public_key().subject_public_key.data.to_vec());
    }
    first.ok_or_else(wrong)
}

/// The public key that belongs to a private one.
fn parse_key(pem: &Secret<String>) -> Result<Vec<u8>, String> {
    let pem = pem.expose();
    if !pem.starts_with("---") {
        // For APISIX whatever else there is was sealed by itself.
        return Err("failed to decrypt previous encrypted key".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| "failed to parse key: PEM_read_bio_PrivateKey() failed".to_owned())?;
    public_key(&key).ok_or_else(|| {
        "failed to parse key: it must be an RSA key of 2048 to 8192 bits, an ECDSA key on P-256, P-384 or P-521, or an \
         Ed25519 key"
            .to_owned()
    })
}

fn public_key(key: &PrivateKeyDer<'_>) -> Option<Vec<u8>> {
    let der = key.secret_der();
    let rsa = match key {
        PrivateKeyDer::Pkcs1(_) => RsaKeyPair::from_der(der).ok(),
        PrivateKeyDer::Pkcs8(_) => RsaKeyPair::from_pkcs8(der).ok(),
        _ => None,
    };
    if let Some(pair) = rsa {
        return Some(pair.public_key().as_ref().to_vec());
    }
    for curve in [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1_SIGNING] {
        if let Ok(pair) = EcdsaKeyPair::from_private_key_der(curve, der) {
            return Some(pair.public_key().as_ref().to_vec());
        }
    }
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(|pair| pair.public_key().as_ref().to_vec())
}
