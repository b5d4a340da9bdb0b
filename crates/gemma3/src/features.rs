//! Image tokens of one picture, to be kept.

use tch::Tensor;

/// What the vision tower made of a picture ([`Gemma3::encode_image`](crate::Gemma3::encode_image)): as a value, for those who keep it and
/// look at no number of it.
#[derive(Debug)]
pub struct Features(Tensor);

impl Features {
    /// Of image tokens `[t, D]`, which are shared.
    pub fn of(tokens: &Tensor) -> Self {
        Self(tokens.shallow_clone())
    }

    /// The same image tokens.
    #[must_use]
    pub fn shared(&self) -> Self {
        Self::of(&self.0)
    }

    /// The image tokens `[t, D]`.
    pub fn tokens(&self) -> Tensor {
        self.0.shallow_clone()
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> u64 {
        (self.0.numel() * self.0.kind().elt_size_in_bytes()) as u64
    }
}
