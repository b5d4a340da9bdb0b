//! Methods of comparison that take one gradient, from arrays. None of them follows what passed from layer to layer.

use std::ops::Range;

use ndarray::{Array1, ArrayView1, ArrayView2, Axis, Zip, s};

use crate::{Error, ErrorKind, HeadFusion, retained::positive};

/// Gradient-weighted attention of one row, `fuse_h[(A ⊙ ∇A)⁺]`, `[n]`, from attention and gradient `[H, n]`.
///
/// With the mean over heads it is Grad-SAM (Barkan et al., "Grad-SAM: Explaining Transformers via Gradient Self-Attention Maps",
/// CIKM 2021), `A ⊙ relu(∇A)`, because attention is not negative; and one row of the fused attention of Chefer et al. (2021),
/// equation 5. It tells what a layer took directly, and nothing of what the tokens it took from had taken before. What speaks
/// against the answer is dropped.
///
/// Fails with [`ErrorKind::RowsShape`], [`ErrorKind::HeadRows`] or [`ErrorKind::Head`].
pub fn gradient_attention_row(
    attention: ArrayView2<'_, f32>,
    gradient: ArrayView2<'_, f32>,
    heads: HeadFusion,
) -> Result<Array1<f32>, Error> {
    check(attention, gradient)?;
    let products = Zip::from(attention).and(gradient).map_collect(|&a, &g| positive(a * g));
    heads.fuse(products.view())
}

/// One layer of LeGrad at one row, `fuse_h[(∂s/∂A)⁺]`, `[n]`, from the gradient `[H, n]` of a score s that is read off the output of the same
/// layer.
///
/// LeGrad (Bousselham, Boggust, Chaybouti, Strobelt and Kuehne, "LeGrad: An Explainability Method for Vision Transformers via Feature
/// Formation Sensitivity", ICCV 2025), with the row that predicts the token in the place of the pooled or class token and its logit in the
/// place of the similarity with a text; the mean over layers is the map. It asks to which attention the score is sensitive, not how much
/// attention there is: a key that nothing was taken from counts as one that much was taken from. So the columns are to be keys that the
/// row sees and no others: where a mask hides a key, there is a gradient all the same. What passed through other tokens is not followed,
/// and in early layers the logit of a half-made state says little.
///
/// Fails with [`ErrorKind::HeadRows`] or [`ErrorKind::Head`].
pub fn legrad_row(gradient: ArrayView2<'_, f32>, heads: HeadFusion) -> Result<Array1<f32>, Error> {
    heads.fuse(gradient.mapv(positive).view())
}

/// One layer of DEX-AR at one row, `Σ_h w_h·G_h`, `G = (∂s/∂A)⁺`, `w_h = (max_{j ∈ image} G[h,j] − max_{j ∉ image} G[h,j])⁺`, `[n]`, from the
/// gradient `[H, n]` of a score s that is read off the output of the same layer; `image` are keys of the image, ranges within `0..n`.
///
/// After "DEX-AR: A Dynamic Explainability Method for Autoregressive Vision-Language Models". The gradient is that of [`legrad_row`], with what is
/// said there of the keys and of early layers. What is added is the filter w: a head whose most sensitive key is a token of text says
/// nothing, another says the more, the further its largest entry at the image is above that at the text. So all is zero where no head
/// has its largest entry at the image, and where there is no image. A largest entry is a single number: one key decides for its head.
///
/// The published map is the sum over layers and heads at the image tokens; the keys of text get the same weighted sum here, as any row
/// has them. The published weights of the tokens of a sentence (eq. 6) are left out: they say how tokens are put together, not what
/// one token has.
///
/// Fails with [`ErrorKind::HeadRows`] or [`ErrorKind::Keys`].
pub fn dex_ar_row(
    gradient: ArrayView2<'_, f32>,
    image: &[Range<usize>],
) -> Result<Array1<f32>, Error> {
    let keys = check(gradient, gradient)?;
    check_keys(image, keys)?;
    let gradient = gradient.mapv(positive);
    let mut is_image = vec![false; keys];
    for keys_of in image {
        is_image[keys_of.clone()].fill(true);
    }
    let weight = |row: ArrayView1<'_, f32>| -> f64 {
        let largest = |at_image: bool| {
            let values = row.iter().zip(&is_image).filter(|&(_, &at)| at == at_image);
            f64::from(values.fold(0.0_f32, |most, (&x, _)| most.max(x)))
        };
        (largest(true) - largest(false)).max(0.0)
    };
    Ok(weighted(gradient.view(), gradient.outer_iter().map(weight)))
}

/// Attention of one row with heads weighted by their gradient, `Σ_h w_h·A_h / Σ_h w_h`, `w_h = mean_j relu(∂z/∂A[h,j])`, `[n]`,
/// from attention and gradient `[H, n]`; `n` are the keys that the row sees. The plain mean where no weight is above zero.
///
/// The weights are those of Grad-CAM (Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
/// Localization", ICCV 2017), with the positive part taken first. The row sums to one as rows of attention do. A head weighs as much
/// at keys that spoke against the answer as at those that spoke for it.
///
/// Fails with [`ErrorKind::RowsShape`] or [`ErrorKind::HeadRows`].
pub fn gradient_weighted_row(
    attention: ArrayView2<'_, f32>,
    gradient: ArrayView2<'_, f32>,
) -> Result<Array1<f32>, Error> {
    check(attention, gradient)?;
    let weights: Vec<f64> = gradient.outer_iter().map(mean_positive).collect();
    let total: f64 = weights.iter().sum();
    if total == 0.0 {
        return HeadFusion::Mean.fuse(attention);
    }
    Ok(weighted(attention, weights.iter().map(|weight| weight / total)))
}

/// Grad-CAM on one row of attention, `relu(Σ_h C_h·A[h,:])`, `C_h = mean_{j ∈ image} relu(∂z/∂A[h,j])`, `[n]`, from attention and
/// gradient `[H, n]`; `image` are keys of the image, ranges within `0..n`. Without one all is zero.
///
/// Grad-CAM (Selvaraju et al., ICCV 2017) with heads as channels, as it is used of the last attention layer of vision
/// transformers (Chefer, Gur and Wolf, "Transformer Interpretability Beyond Attention Visualization", CVPR 2021). One layer is read;
/// attention is not negative and neither is C, so the outer positive part never acts.
///
/// Fails with [`ErrorKind::RowsShape`], [`ErrorKind::HeadRows`] or [`ErrorKind::Keys`].
pub fn grad_cam_attention_row(
    attention: ArrayView2<'_, f32>,
    gradient: ArrayView2<'_, f32>,
    image: &[Range<usize>],
) -> Result<Array1<f32>, Error> {
    check_keys(image, check(attention, gradient)?)?;
    let count: usize = image.iter().map(ExactSizeIterator::len).sum();
    let weight = |gradient: ArrayView1<'_, f32>| -> f64 {
        let of = |keys: &Range<usize>| sum_positive(gradient.slice(s![keys.clone()]));
        if count == 0 { 0.0 } else { image.iter().map(of).sum::<f64>() / count as f64 }
    };
    Ok(weighted(attention, gradient.outer_iter().map(weight)).mapv_into(positive))
}

/// Grad-CAM on hidden states of image tokens, `relu(w·h_t)`, `w = mean_t ∂z/∂h_t`, `[n]`, from states and their gradient `[n, D]`.
///
/// Grad-CAM (Selvaraju et al., ICCV 2017) with the entries of the hidden state as channels. Deep in a language model the
/// state of an image token is no longer about its own cell alone. At the output of the last layer the gradient is zero on all
/// tokens but the one that predicts, so there is no map.
///
/// Fails with [`ErrorKind::RowsShape`].
pub fn grad_cam_hidden(
    hidden: ArrayView2<'_, f32>,
    gradient: ArrayView2<'_, f32>,
) -> Result<Array1<f32>, Error> {
    check_same(hidden, gradient)?;
    let tokens = hidden.nrows().max(1) as f64;
    let mut weights = Array1::<f64>::zeros(hidden.ncols());
    for row in gradient.outer_iter() {
        weights.zip_mut_with(&row, |weight, &g| *weight += f64::from(g) / tokens);
    }
    let product = |h: ArrayView1<'_, f32>| -> f32 {
        let terms = h.iter().zip(&weights).map(|(&h, weight)| f64::from(h) * weight);
        positive(terms.sum::<f64>() as f32)
    };
    Ok(hidden.outer_iter().map(product).collect())
}

/// Gradient × input, `Σ_D x⊙∂z/∂x`, `[n]`, from input embeddings and their gradient `[n, D]`. It has signs.
///
/// Shrikumar et al., "Not Just a Black Box: Learning Important Features Through Propagating Activation Differences" (2016). It is
/// the first term of a Taylor series: where the model is far from linear, or has saturated, it says little, and in deep models it
/// is noisy.
///
/// Fails with [`ErrorKind::RowsShape`].
pub fn input_gradient(
    input: ArrayView2<'_, f32>,
    gradient: ArrayView2<'_, f32>,
) -> Result<Array1<f32>, Error> {
    check_same(input, gradient)?;
    let product = |(x, dx): (ArrayView1<'_, f32>, ArrayView1<'_, f32>)| -> f32 {
        x.iter().zip(dx).map(|(&x, &dx)| f64::from(x) * f64::from(dx)).sum::<f64>() as f32
    };
    Ok(input.outer_iter().zip(gradient.outer_iter()).map(product).collect())
}

/// What a scalar would lose, to first order, if a cell became the mean cell, `Σ_D (e_j − ē)·∂z/∂e_j`, ē the mean over the cells, `[n]`,
/// from the embeddings of the cells of one image and their gradient `[n, D]`. It has signs: above zero stands what the answer would
/// lose, below zero what it would gain. The unit is that of the scalar: nats for a log-probability.
///
/// Attribution patching (Nanda, "Attribution Patching: Activation Patching At Industrial Scale", 2023; Syed, Rager and Conmy,
/// "Attribution Patching Outperforms Automated Circuit Discovery", 2023) with the mean of the image in the place of another run. Unlike
/// [`input_gradient`] it gives nothing to what all cells have in common. It is the first term of a Taylor series: where a cell changes
/// much, or the model has saturated, the true drop is another.
///
/// Fails with [`ErrorKind::RowsShape`].
pub fn mean_cell_drop(
    cells: ArrayView2<'_, f32>,
    gradient: ArrayView2<'_, f32>,
) -> Result<Array1<f32>, Error> {
    check_same(cells, gradient)?;
    let mut mean = Array1::<f64>::zeros(cells.ncols());
    for cell in cells.outer_iter() {
        mean.zip_mut_with(&cell, |mean, &x| *mean += f64::from(x) / cells.nrows() as f64);
    }
    let product = |(cell, dx): (ArrayView1<'_, f32>, ArrayView1<'_, f32>)| -> f32 {
        let terms = cell.iter().zip(&mean).zip(dx);
        terms.map(|((&x, mean), &dx)| (f64::from(x) - mean) * f64::from(dx)).sum::<f64>() as f32
    };
    Ok(cells.outer_iter().zip(gradient.outer_iter()).map(product).collect())
}

/// `Σ_h w_h·rows[h,:]` with sums in double precision.
fn weighted(rows: ArrayView2<'_, f32>, weights: impl Iterator<Item = f64>) -> Array1<f32> {
    let mut sum = Array1::<f64>::zeros(rows.ncols());
    for (row, weight) in rows.axis_iter(Axis(0)).zip(weights) {
        sum.zip_mut_with(&row, |sum, &x| *sum += weight * f64::from(x));
    }
    sum.mapv(|sum| sum as f32)
}

fn sum_positive(values: ArrayView1<'_, f32>) -> f64 {
    values.iter().map(|&x| f64::from(positive(x))).sum()
}

fn mean_positive(values: ArrayView1<'_, f32>) -> f64 {
    sum_positive(values) / values.len().max(1) as f64
}

/// The keys of attention and gradient, `[H, n]` each.
fn check(attention: ArrayView2<'_, f32>, gradient: ArrayView2<'_, f32>) -> Result<usize, Error> {
    check_same(attention, gradient)?;
    match attention.dim() {
        (0, keys) => Err(ErrorKind::HeadRows { found: [0, keys] }.into()),
        (_, keys) => Ok(keys),
    }
}

/// Whether ranges lie within so many keys.
fn check_keys(ranges: &[Range<usize>], keys: usize) -> Result<(), Error> {
    match ranges.iter().find(|range| range.end < range.start || keys < range.end) {
        Some(&Range { start, end }) => Err(ErrorKind::Keys { start, end, keys }.into()),
        None => Ok(()),
    }
}

fn check_same(expected: ArrayView2<'_, f32>, found: ArrayView2<'_, f32>) -> Result<(), Error> {
    if expected.dim() == found.dim() {
        Ok(())
    } else {
        Err(ErrorKind::RowsShape { expected: expected.dim().into(), found: found.dim().into() }
            .into())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    fn attention() -> Array2<f32> {
        array![[0.5, 0.25, 0.25], [0.0, 0.5, 0.5]]
    }

    fn gradient() -> Array2<f32> {
        array![[2.0, -4.0, 1.0], [3.0, 1.0, -1.0]]
    }

    #[test]
    fn gradient_attention_by_hand() {
        let row = |heads| gradient_attention_row(attention().view(), gradient().view(), heads);
        assert_eq!(row(HeadFusion::Mean), Ok(array![0.5, 0.25, 0.125]));
        assert_eq!(row(HeadFusion::Max), Ok(array![1.0, 0.5, 0.25]));
        assert_eq!(row(HeadFusion::One(1)), Ok(array![0.0, 0.5, 0.0]));
    }

    #[test]
    fn legrad_by_hand() {
        let row = |heads| legrad_row(gradient().view(), heads);
        assert_eq!(row(HeadFusion::Mean), Ok(array![2.5, 0.5, 0.5]));
        assert_eq!(row(HeadFusion::Max), Ok(array![3.0, 1.0, 1.0]));
        assert_eq!(row(HeadFusion::One(0)), Ok(array![2.0, 0.0, 1.0]));
    }

    #[test]
    fn dex_ar_by_hand() {
        let row = |image: &[Range<usize>]| dex_ar_row(gradient().view(), image);
        // w = (2 − 1, 3 − 1): G = (2, 0, 1) and (3, 1, 0).
        assert_eq!(row(&[0..1]), Ok(array![8.0, 2.0, 1.0]));
        // Text has the largest entry of both heads.
        assert_eq!(row(&[1..2]), Ok(array![0.0, 0.0, 0.0]));
        // No text: w is the largest entry.
        assert_eq!(row(&[0..1, 1..3]), Ok(array![13.0, 3.0, 2.0]));
        assert_eq!(row(&[]), Ok(array![0.0, 0.0, 0.0]));
        assert_eq!(row(&[2..4]), Err(ErrorKind::Keys { start: 2, end: 4, keys: 3 }.into()));
        let against = -gradient().mapv(f32::abs);
        assert_eq!(dex_ar_row(against.view(), &[0..3]), Ok(array![0.0, 0.0, 0.0]));
        let none = dex_ar_row(Array2::zeros((0, 2)).view(), &[]).unwrap_err();
        assert_eq!(none, ErrorKind::HeadRows { found: [0, 2] }.into());
    }

    #[test]
    fn weighted_heads_by_hand() {
        // w = (3/3, 4/3): 3/7 and 4/7.
        let row = gradient_weighted_row(attention().view(), gradient().view()).unwrap();
        let expected = array![1.5 / 7.0, 2.75 / 7.0, 2.75 / 7.0];
        assert!((&row - &expected).iter().all(|x| x.abs() < 1e-7), "{row}");
        let none = -gradient().mapv(f32::abs);
        let row = gradient_weighted_row(attention().view(), none.view());
        assert_eq!(row, Ok(array![0.25, 0.375, 0.375]));
    }

    #[test]
    fn grad_cam_by_hand() {
        let cam = |image: &[Range<usize>]| {
            grad_cam_attention_row(attention().view(), gradient().view(), image)
        };
        // C = (1/2, 1/2) over keys 1 and 2.
        assert_eq!(cam(&[1..3]), Ok(array![0.25, 0.375, 0.375]));
        assert_eq!(cam(&[1..2, 2..3]), cam(&[1..3]));
        assert_eq!(cam(&[]), Ok(array![0.0, 0.0, 0.0]));
        assert_eq!(cam(&[2..4]), Err(ErrorKind::Keys { start: 2, end: 4, keys: 3 }.into()));
        // w = (1, 0) over two tokens.
        let hidden = grad_cam_hidden(
            array![[2.0, 9.0], [-3.0, 9.0]].view(),
            array![[0.5, 1.0], [1.5, -1.0]].view(),
        );
        assert_eq!(hidden, Ok(array![2.0, 0.0]));
    }

    #[test]
    fn gradient_times_input_has_signs() {
        let row = input_gradient(
            array![[1.0, 2.0], [3.0, 1.0]].view(),
            array![[1.0, 0.5], [-1.0, 0.5]].view(),
        );
        assert_eq!(row, Ok(array![2.0, -2.5]));
    }

    #[test]
    fn a_cell_drops_to_the_mean_of_all() {
        // The mean is (2, 1): only the first column differs between the cells.
        let drop = mean_cell_drop(
            array![[1.0, 1.0], [3.0, 1.0]].view(),
            array![[2.0, 9.0], [0.5, -9.0]].view(),
        );
        assert_eq!(drop, Ok(array![-2.0, 0.5]));
        let none = Array2::<f32>::zeros((0, 2));
        assert_eq!(mean_cell_drop(none.view(), none.view()).map(|row| row.len()), Ok(0));
    }

    #[test]
    fn shapes_are_checked() {
        let (two, three) = (Array2::zeros((2, 2)), Array2::zeros((2, 3)));
        let error = Error::from(ErrorKind::RowsShape { expected: [2, 2], found: [2, 3] });
        assert_eq!(
            gradient_attention_row(two.view(), three.view(), HeadFusion::Mean),
            Err(error.clone())
        );
        assert_eq!(input_gradient(two.view(), three.view()), Err(error));
        let none = Array2::zeros((0, 2));
        let error = gradient_weighted_row(none.view(), none.view()).unwrap_err();
        assert_eq!(error, ErrorKind::HeadRows { found: [0, 2] }.into());
    }
}
