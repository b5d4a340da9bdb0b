//! Which token is explained.

use crate::{Error, ErrorKind};

/// The token that stands at a position and is explained there.
///
/// What chose it are the logits one row earlier: the model reads tokens 0..p and predicts token p at row p−1. So there is no
/// target at position 0, and [`Target::new`] is the one place where that one is subtracted. Where two continuations of one prefix are
/// packed into a sequence, the first token of the second is chosen by the last row of the prefix: [`Target::after`] names the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    position: usize,
    token: u32,
    logit_row: usize,
}

impl Target {
    /// The token with id `token` at `position`, counted from 0 over prompt and answer.
    ///
    /// Fails with [`ErrorKind::FirstPosition`] at 0.
    pub fn new(position: usize, token: u32) -> Result<Self, Error> {
        let logit_row = position.checked_sub(1).ok_or(ErrorKind::FirstPosition)?;
        Ok(Self { position, token, logit_row })
    }

    /// The token with id `token` at `position` that the logits at `logit_row` chose, one or more rows earlier.
    ///
    /// Fails with [`ErrorKind::FirstPosition`] at 0 and with [`ErrorKind::LaterRow`] for a row that is not earlier.
    pub fn after(logit_row: usize, position: usize, token: u32) -> Result<Self, Error> {
        Self::new(position, token)?;
        if position <= logit_row {
            return Err(ErrorKind::LaterRow { row: logit_row, position }.into());
        }
        Ok(Self { position, token, logit_row })
    }

    /// Where the token stands, 1 or later.
    pub fn position(self) -> usize {
        self.position
    }

    /// The token's id: the logit that is explained.
    pub fn token(self) -> u32 {
        self.token
    }

    /// The row whose logits predict the token: position − 1 unless [`Target::after`] named another. It is also the row of the
    /// relevancy, and its self term.
    pub fn logit_row(self) -> usize {
        self.logit_row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_is_one_before_the_token() {
        assert_eq!(Target::new(0, 5), Err(ErrorKind::FirstPosition.into()));
        let target = Target::new(1, 5).unwrap();
        assert_eq!((target.position(), target.logit_row(), target.token()), (1, 0, 5));
    }

    #[test]
    fn another_row_is_an_earlier_one() {
        let target = Target::after(3, 9, 5).unwrap();
        assert_eq!((target.position(), target.logit_row()), (9, 3));
        assert_eq!(Target::after(8, 9, 5), Target::new(9, 5));
        assert_eq!(Target::after(9, 9, 5), Err(ErrorKind::LaterRow { row: 9, position: 9 }.into()));
        assert_eq!(Target::after(0, 0, 5), Err(ErrorKind::FirstPosition.into()));
    }
}
