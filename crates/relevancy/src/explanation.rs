//! A relevancy row, read with what it explains and what its tokens are.

use ndarray::{Array1, Array2, ArrayView1, s};

use crate::{Error, ErrorKind, Target, TokenLayout, update::sum};

/// What one or several tokens owe to every token of the sequence.
///
/// The values are raw: not normalised, self term included. Everything below returns new values and leaves them alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    targets: Vec<Target>,
    relevancy: Array1<f32>,
    layout: TokenLayout,
}

/// How the relevancy without the self terms divides over the sequence. The parts sum to one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Shares {
    /// Of each image grid, in the order of the layout.
    pub grids: Vec<f32>,
    /// Of all text.
    pub text: f32,
}

impl Shares {
    /// Of all images together.
    pub fn image(&self) -> f32 {
        self.grids.iter().sum()
    }
}

impl Explanation {
    /// An explanation of `targets`, one token or the tokens of a word or a span, by `relevancy` `[S]`.
    ///
    /// Fails with [`ErrorKind::NoTarget`], [`ErrorKind::Tokens`] if relevancy and layout differ in length, or [`ErrorKind::Row`] if a target's
    /// row is past the end.
    pub fn new(
        targets: Vec<Target>,
        relevancy: Array1<f32>,
        layout: TokenLayout,
    ) -> Result<Self, Error> {
        let tokens = layout.tokens();
        if relevancy.len() != tokens {
            return Err(ErrorKind::Tokens { expected: tokens, found: relevancy.len() }.into());
        }
        let last =
            targets.iter().map(|target| target.logit_row()).max().ok_or(ErrorKind::NoTarget)?;
        if tokens <= last {
            return Err(ErrorKind::Row { row: last, tokens }.into());
        }
        Ok(Self { targets, relevancy, layout })
    }

    /// The mean of several explanations over one sequence, each with the same weight: how a word of several tokens or a whole
    /// answer is explained. The targets are those of all, in order.
    ///
    /// Fails with [`ErrorKind::NoTarget`] without explanations, or [`ErrorKind::LayoutDiffers`].
    pub fn mean(explanations: &[Explanation]) -> Result<Self, Error> {
        let layout = &explanations.first().ok_or(ErrorKind::NoTarget)?.layout;
        if let Some(index) =
            explanations.iter().position(|explanation| explanation.layout != *layout)
        {
            return Err(ErrorKind::LayoutDiffers { index }.into());
        }
        let mut total = Array1::<f64>::zeros(layout.tokens());
        for explanation in explanations {
            total += &explanation.relevancy.mapv(f64::from);
        }
        let relevancy = total.mapv(|total| (total / explanations.len() as f64) as f32);
        let targets =
            explanations.iter().flat_map(|explanation| &explanation.targets).copied().collect();
        Self::new(targets, relevancy, layout.clone())
    }

    /// The explained tokens, at least one.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The raw relevancy `[S]`, self terms included.
    pub fn relevancy(&self) -> ArrayView1<'_, f32> {
        self.relevancy.view()
    }

    /// What the tokens are.
    pub fn layout(&self) -> &TokenLayout {
        &self.layout
    }

    /// The rows p−1 of the targets, in order and each once. The entries there hold the self term: the 1 that R starts with.
    pub fn self_positions(&self) -> Vec<usize> {
        let mut rows: Vec<_> = self.targets.iter().map(|target| target.logit_row()).collect();
        rows.sort_unstable();
        rows.dedup();
        rows
    }

    /// The relevancy `[S]` with zero at the [self positions](Self::self_positions), where the self term would drown the rest.
    ///
    /// For several targets this also drops what one target's row gave to another's.
    pub fn without_self(&self) -> Array1<f32> {
        let mut relevancy = self.relevancy.clone();
        self.self_positions().into_iter().for_each(|row| relevancy[row] = 0.0);
        relevancy
    }

    /// Whether there is nothing but the self terms: no token speaks for the targets.
    ///
    /// That is so where no other entry is as large as the smallest normal float32, 1.2·10⁻³⁸. Beneath it numbers lose their digits;
    /// above it they have them all, however small they are beside the self term, which is no measure for them: the relevancy for the
    /// log-probability of a token is in proportion to `1 − p`, and where a model is sure that is 10⁻⁶ or 10⁻¹² with the same accuracy.
    /// A row with a value that is not finite is not empty.
    pub fn is_empty(&self) -> bool {
        self.without_self().iter().all(|value| value.abs() < f32::MIN_POSITIVE)
    }

    /// The raw relevancy of image grid `k`, `[rows, columns]`, counted over the grids of the layout; `None` past the last.
    pub fn image_grid(&self, k: usize) -> Option<Array2<f32>> {
        let (range, grid) = self.layout.grids().nth(k)?;
        let cell = |(row, column)| self.relevancy[range.start + row * grid.columns + column];
        Some(Array2::from_shape_fn((grid.rows, grid.columns), cell))
    }

    /// The raw relevancy of all image cells, grid after grid: what a scale common to all images is fitted to.
    pub fn image_values(&self) -> impl Iterator<Item = f32> + '_ {
        self.layout.grids().flat_map(|(range, _)| range).map(|position| self.relevancy[position])
    }

    /// The entropy of the relevancy of all image cells over the logarithm of their number: 0 where one cell has everything, 1 where
    /// all have the same. `None` for fewer than two cells, and where their sum is zero, negative or not finite.
    pub fn image_entropy(&self) -> Option<f32> {
        let values: Vec<f64> = self.image_values().map(f64::from).collect();
        let total: f64 = values.iter().sum();
        if values.len() < 2 || !(total.is_finite() && 0.0 < total) {
            return None;
        }
        let parts = values.iter().map(|value| value / total).filter(|&part| 0.0 < part);
        let entropy: f64 = parts.map(|part| -part * part.ln()).sum();
        Some((entropy / (values.len() as f64).ln()) as f32)
    }

    /// Position and raw relevancy of the text tokens, up to the last target's row: later text is zero by construction in a
    /// causal model, and has nothing to say.
    pub fn text(&self) -> impl Iterator<Item = (usize, f32)> + '_ {
        let last = self.targets.iter().map(|target| target.logit_row()).max();
        let seen = self.layout.text_positions().take_while(move |&position| Some(position) <= last);
        seen.map(|position| (position, self.relevancy[position]))
    }

    /// How the relevancy without the self terms divides over images and text.
    ///
    /// `None` if there is nothing to divide: a row that [is empty](Self::is_empty), a total that is zero, negative or not finite.
    pub fn shares(&self) -> Option<Shares> {
        if self.is_empty() {
            return None;
        }
        let relevancy = self.without_self();
        let total = sum(relevancy.view());
        if !(total.is_finite() && 0.0 < total) {
            return None;
        }
        let grids: Vec<f64> =
            self.layout.grids().map(|(range, _)| sum(relevancy.slice(s![range])) / total).collect();
        let text: f64 = self
            .layout
            .text_positions()
            .map(|position| f64::from(relevancy[position]) / total)
            .sum();
        Some(Shares {
            grids: grids.into_iter().map(|share| share as f32).collect(),
            text: text as f32,
        })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::ImageGrid;

    /// Text, two images of 2×2 and 1×2 cells, text: nine tokens.
    fn layout() -> TokenLayout {
        let grids = [
            (1..5, ImageGrid { image: 0, rows: 2, columns: 2 }),
            (5..7, ImageGrid { image: 1, rows: 1, columns: 2 }),
        ];
        TokenLayout::from_images(9, grids).unwrap()
    }

    fn explanation(position: usize, relevancy: Array1<f32>) -> Explanation {
        Explanation::new(vec![Target::new(position, 7).unwrap()], relevancy, layout()).unwrap()
    }

    #[test]
    fn reads_the_row_by_image_and_text() {
        let row = array![1.0, 2.0, 0.0, 1.0, 1.0, 0.5, 1.5, 9.0, 0.0];
        let explanation = explanation(8, row.clone());
        assert_eq!(explanation.image_grid(0), Some(array![[2.0, 0.0], [1.0, 1.0]]));
        assert_eq!(explanation.image_grid(1), Some(array![[0.5, 1.5]]));
        assert_eq!(explanation.image_grid(2), None);
        assert_eq!(explanation.image_values().collect::<Vec<_>>(), [2.0, 0.0, 1.0, 1.0, 0.5, 1.5]);
        assert_eq!(explanation.text().collect::<Vec<_>>(), [(0, 1.0), (7, 9.0)]);
        assert_eq!(explanation.self_positions(), [7]);
        assert_eq!(explanation.without_self(), array![1.0, 2.0, 0.0, 1.0, 1.0, 0.5, 1.5, 0.0, 0.0]);
        let shares = explanation.shares().unwrap();
        approx::assert_relative_eq!(shares.image(), 6.0 / 7.0);
        approx::assert_relative_eq!(shares.grids[1], 2.0 / 7.0);
        approx::assert_relative_eq!(shares.text, 1.0 / 7.0);
        assert_eq!(explanation.relevancy(), row); // as it was
    }

    #[test]
    fn entropy_is_zero_for_one_cell_and_one_for_an_even_map() {
        let with = |cells: [f32; 6]| {
            let mut row = Array1::ones(9);
            row.slice_mut(s![1..7]).assign(&ArrayView1::from(&cells));
            explanation(8, row).image_entropy()
        };
        assert_eq!(with([0.0, 0.0, 3.0, 0.0, 0.0, 0.0]), Some(0.0));
        approx::assert_relative_eq!(with([0.2; 6]).unwrap(), 1.0, epsilon = 1e-6);
        let half = with([0.5, 0.5, 0.0, 0.0, 0.0, 0.0]).unwrap();
        approx::assert_relative_eq!(half, (2.0_f32).ln() / (6.0_f32).ln(), epsilon = 1e-6);
        assert_eq!(with([0.0; 6]), None);
    }

    #[test]
    fn a_grid_survives_a_row_with_strides() {
        let reversed = Array1::from_iter((0..9).map(|i| 8.0 - i as f32)).slice_move(s![..;-1]);
        assert_eq!(explanation(8, reversed).image_grid(0), Some(array![[1.0, 2.0], [3.0, 4.0]]));
    }

    #[test]
    fn nothing_but_self_has_no_shares() {
        let mut row = Array1::zeros(9);
        row[7] = 1.0;
        let empty = explanation(8, row.clone());
        assert!(empty.is_empty() && empty.shares().is_none());
        row[0] = f32::NAN;
        let broken = explanation(8, row.clone());
        assert!(!broken.is_empty() && broken.shares().is_none());
        row[0] = 1e-40; // no normal number
        assert!(explanation(8, row.clone()).is_empty());
        row[0] = 2e-38; // small beside the self term, and a number like any other
        let small = explanation(8, row);
        assert!(!small.is_empty());
        approx::assert_relative_eq!(small.shares().unwrap().text, 1.0);
    }

    #[test]
    fn mean_weighs_each_alike() {
        let (one, other) =
            (explanation(8, Array1::ones(9)), explanation(9, Array1::from_elem(9, 4.0)));
        let mean = Explanation::mean(&[one.clone(), other]).unwrap();
        assert_eq!(mean.relevancy(), Array1::from_elem(9, 2.5));
        assert_eq!(mean.self_positions(), [7, 8]);
        assert_eq!(mean.targets().len(), 2);
        assert_eq!(Explanation::mean(&[]), Err(ErrorKind::NoTarget.into()));
        let text = TokenLayout::from_images(9, []).unwrap();
        let stranger = Explanation::new(one.targets.clone(), Array1::ones(9), text).unwrap();
        assert_eq!(
            Explanation::mean(&[one, stranger]),
            Err(ErrorKind::LayoutDiffers { index: 1 }.into())
        );
    }

    #[test]
    fn bad_input_is_told() {
        let target = |position| Target::new(position, 7).unwrap();
        let new = |targets, length| {
            Explanation::new(targets, Array1::zeros(length), layout()).unwrap_err()
        };
        assert_eq!(new(vec![], 9), ErrorKind::NoTarget.into());
        assert_eq!(new(vec![target(1)], 8), ErrorKind::Tokens { expected: 9, found: 8 }.into());
        assert_eq!(new(vec![target(10)], 9), ErrorKind::Row { row: 9, tokens: 9 }.into());
    }
}
