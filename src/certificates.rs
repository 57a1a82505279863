//! Servers' certificates, for the core and for clouds: explanations and remedies of errors, and a verifier that accepts
//! all of them.

use std::sync::Arc;

use rustls::{
    DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

const AUTHORITY: &str = "the server's certificate is that of a certificate authority, which no server may use, trusted or not: \
                         give the server a certificate with basicConstraints CA:FALSE (the one that `openssl req -x509` makes \
                         is CA:TRUE unless -addext basicConstraints=CA:FALSE is given)";
const OLD: &str =
    "the server's certificate is of an old version without extensions: give the server one of X.509 version 3";
const OTHER_NAME: &str = "the server's certificate is for other names: use the server by a name that is in it (subjectAltName; a \
                          common name alone does not count)";
const EXPIRED: &str = "the server's certificate has expired, or the clock of this machine is ahead: renew the certificate or set the clock";
const NOT_YET: &str =
    "the server's certificate is not valid yet, or the clock of this machine is behind: set the clock";
const REVOKED: &str = "the server's certificate was revoked: give the server another one";

/// A part of an error's message, and the explanation.
const EXPLANATIONS: &[(&str, &str)] = &[
    ("CaUsedAsEndEntity", AUTHORITY),
    ("UnsupportedCertVersion", OLD),
    ("not valid for name", OTHER_NAME),
    ("NotValidForName", OTHER_NAME),
    ("certificate expired", EXPIRED),
    (": Expired", EXPIRED),
    ("not valid yet", NOT_YET),
    ("NotValidYet", NOT_YET),
    (": Revoked", REVOKED),
];

/// Returns the explanation of an error about a server's certificate; `None` for other errors, and if the remedy depends
/// on the server.
#[must_use]
pub fn explanation(error: &str) -> Option<&'static str> {
    let is_about = error.contains("invalid peer certificate");
    EXPLANATIONS.iter().find(|(part, _)| is_about && error.contains(part)).map(|(_, explanation)| *explanation)
}

/// Returns the message of an error, with its explanation if there is one.
#[must_use]
pub fn explained(error: String) -> String {
    match explanation(&error) {
        Some(explanation) => format!("{error} ({explanation})"),
        None => error,
    }
}

/// Accepts every certificate, but verifies that the server has its key.
#[derive(Debug)]
pub struct AcceptAll(pub Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use rustls::{
        CertificateError::{
            self, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
            Revoked,
        },
        Error,
        pki_types::{ServerName, UnixTime},
    };

    use super::*;

    #[test]
    fn errors_of_certificates_are_explained() {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(1_700_000_000));
        let expected = ServerName::try_from("core.example").unwrap();
        let presented = vec!["DnsName(a)".into()];
        for (error, remedy) in [
            (Expired, "renew the certificate"),
            (ExpiredContext { time, not_after: time }, "renew the certificate"),
            (NotValidYet, "set the clock"),
            (NotValidYetContext { time, not_before: time }, "set the clock"),
            (NotValidForName, "subjectAltName"),
            (NotValidForNameContext { expected: expected.clone(), presented }, "subjectAltName"),
            (NotValidForNameContext { expected, presented: vec![] }, "subjectAltName"),
            (Revoked, "give the server another one"),
        ] {
            let text = Error::InvalidCertificate(error).to_string();
            let told = explained(text.clone());
            assert!(told.starts_with(&text) && told.contains(remedy), "{told}");
        }
        let other = "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))";
        assert!(explained(other.to_owned()).contains("CA:FALSE"));
    }

    #[test]
    fn other_errors_stay_as_they_are() {
        let issuer = Error::InvalidCertificate(CertificateError::UnknownIssuer).to_string();
        for text in ["connection refused", "token: Expired", &issuer] {
            assert_eq!(explained(text.to_owned()), text);
        }
    }
}
