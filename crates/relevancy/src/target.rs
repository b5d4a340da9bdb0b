//! Which token is explained.

use crate::Error;

/// The token that stands at a position and is explained there.
///
/// What chose it are the logits one row earlier: the model reads tokens 0..p and predicts token p at row p−1. So there is no
/// target at position 0, and [`logit_row`](Self::logit_row) is the one place where that one is subtracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    position: usize,
    token: u32,
}

impl Target {
    /// The token with id `token` at `position`, counted from 0 over prompt and answer.
    ///
    /// Fails with [`Error::FirstPosition`] at 0.
    pub fn new(position: usize, token: u32) -> Result<Self, Error> {
        if position == 0 {
            return Err(Error::FirstPosition);
        }
        Ok(Self { position, token })
    }

    /// Where the token stands, 1 or later.
    pub fn position(self) -> usize {
        self.position
    }

    /// The token's id: the logit that is explained.
    pub fn token(self) -> u32 {
        self.token
    }

    /// The row whose logits predict the token: position − 1. It is also the row of the relevancy, and its self term.
    pub fn logit_row(self) -> usize {
        self.position - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_is_one_before_the_token() {
        assert_eq!(Target::new(0, 5), Err(Error::FirstPosition));
        let target = Target::new(1, 5).unwrap();
        assert_eq!((target.position(), target.logit_row(), target.token()), (1, 0, 5));
    }
}
