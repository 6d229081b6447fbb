//! What is asked of signatures: who made one over these bytes.
//!
//! Not here: whether that person may (`approve::signers`), cryptography (`io::sign`).

/// Who signed, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The public key as `TYPE BASE64`.
    pub key: String,
    /// `SHA256:…`, for people.
    pub fingerprint: String,
    /// The namespace that the signature names.
    pub namespace: String,
}

/// Checks signatures.
pub trait Verifier {
    /// Checks an armored SSH signature over a message.
    ///
    /// # Errors
    /// Why it is none, in words.
    fn verify(&self, message: &[u8], armored: &str) -> Result<Signed, String>;
}
