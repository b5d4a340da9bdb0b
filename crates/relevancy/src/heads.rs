//! How the heads of a layer become one.

use std::{fmt, ops::Range};

use ndarray::{Array1, ArrayView2, ArrayViewMut1, Zip};

use crate::{Error, ErrorKind};

/// The fusion `fuse_h` of H heads, entry by entry.
///
/// The mean is the published one (Chefer et al. 2021, equation 5). The maximum lets a single head that looks at one place count in
/// full where the mean divides it by H: it finds more and is noisier. One head alone answers what that head does; what others carry
/// is missing from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum HeadFusion {
    /// The mean over all heads.
    #[default]
    Mean,
    /// The largest over all heads.
    Max,
    /// This head alone, counted from 0.
    One(usize),
}

/// What a fusion of heads is, entry by entry.
///
/// Closed, unlike [`HeadFusion`]: an engine that matches it has said what it does with every fusion there is, and does not compile when there
/// is one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadRule {
    /// The mean over all heads. It is linear: it may be taken after any other linear step.
    Mean,
    /// The largest over all heads.
    Max,
    /// This head alone, counted from 0.
    One(usize),
}

impl HeadFusion {
    /// What the fusion is, for engines that fuse heads themselves; [`HeadFusion::fuse`] defines it.
    pub fn rule(self) -> HeadRule {
        match self {
            Self::Mean => HeadRule::Mean,
            Self::Max => HeadRule::Max,
            Self::One(head) => HeadRule::One(head),
        }
    }

    /// Fuses rows `[H, n]` into one `[n]`. NaN is passed on.
    ///
    /// Fails with [`ErrorKind::HeadRows`] without heads, or with [`ErrorKind::Head`] where there is no such head.
    ///
    /// ```
    /// use attention_relevancy::{HeadFusion, ndarray::array};
    ///
    /// let rows = array![[0.0, 0.5], [1.0, 0.25]];
    /// assert_eq!(HeadFusion::Mean.fuse(rows.view())?, array![0.5, 0.375]);
    /// assert_eq!(HeadFusion::Max.fuse(rows.view())?, array![1.0, 0.5]);
    /// assert_eq!(HeadFusion::One(1).fuse(rows.view())?, array![1.0, 0.25]);
    /// # Ok::<(), attention_relevancy::Error>(())
    /// ```
    pub fn fuse(self, rows: ArrayView2<'_, f32>) -> Result<Array1<f32>, Error> {
        let (heads, keys) = rows.dim();
        if heads == 0 {
            return Err(ErrorKind::HeadRows { found: [heads, keys] }.into());
        }
        self.check(heads)?;
        let mut fused = Array1::from_elem(keys, self.start());
        for h in self.of(heads) {
            Zip::from(&mut fused)
                .and(rows.row(h))
                .for_each(|fused, &x| *fused = self.join(*fused, x));
        }
        self.finish(fused.view_mut(), heads);
        Ok(fused)
    }

    /// Whether a layer of `heads` heads can be fused so. Fails with [`ErrorKind::Head`].
    pub fn check(self, heads: usize) -> Result<(), Error> {
        match self {
            Self::One(head) if heads <= head => Err(ErrorKind::Head { head, heads }.into()),
            Self::One(_) | Self::Mean | Self::Max => Ok(()),
        }
    }

    /// The heads that count, of so many.
    pub(crate) fn of(self, heads: usize) -> Range<usize> {
        match self {
            Self::One(head) => head..head + 1,
            Self::Mean | Self::Max => 0..heads,
        }
    }

    /// What an entry is before any head was taken in.
    pub(crate) fn start(self) -> f32 {
        match self {
            Self::Max => f32::NEG_INFINITY,
            Self::Mean | Self::One(_) => 0.0,
        }
    }

    /// An entry with one more head taken in.
    pub(crate) fn join(self, fused: f32, x: f32) -> f32 {
        match self {
            Self::Max if x <= fused => fused,
            Self::Max if fused.is_nan() => fused,
            Self::Max => x,
            Self::Mean | Self::One(_) => fused + x,
        }
    }

    /// Entries into which all of `heads` heads were taken.
    pub(crate) fn finish(self, mut row: ArrayViewMut1<'_, f32>, heads: usize) {
        match self {
            Self::Mean => row /= heads as f32,
            Self::Max | Self::One(_) => {}
        }
    }
}

/// `mean`, `max`, `head 3`.
impl fmt::Display for HeadFusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mean => f.write_str("mean"),
            Self::Max => f.write_str("max"),
            Self::One(head) => write!(f, "head {head}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    #[test]
    fn the_largest_may_be_negative_and_what_is_no_number_stays() {
        assert_eq!(HeadFusion::Max.fuse(array![[-2.0], [-1.0]].view()), Ok(array![-1.0]));
        for rows in
            [array![[f32::NAN, 1.0], [1.0, f32::NAN]], array![[1.0, f32::NAN], [f32::NAN, 1.0]]]
        {
            let fused = HeadFusion::Max.fuse(rows.view()).unwrap();
            assert!(fused.iter().all(|x| x.is_nan()), "{fused}");
        }
    }

    #[test]
    fn heads_that_are_not_there_are_told() {
        let rows = Array2::zeros((2, 3));
        assert_eq!(
            HeadFusion::One(2).fuse(rows.view()),
            Err(ErrorKind::Head { head: 2, heads: 2 }.into())
        );
        let none = Array2::zeros((0, 3));
        assert_eq!(
            HeadFusion::Mean.fuse(none.view()),
            Err(ErrorKind::HeadRows { found: [0, 3] }.into())
        );
    }
}
