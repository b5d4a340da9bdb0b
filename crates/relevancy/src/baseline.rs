//! What is read off attention alone, to compare an explanation with.

use ndarray::{Array1, ArrayView2, ArrayView3};

use crate::{
    Error, ErrorKind, FusedAttention, HeadFusion, Propagation, RetainedLayer, Update,
    retained::check_shape,
};

/// Raw attention: row `row` of the head mean of one layer's attention `[H, S, S]`, usually the last layer's. Returns `[S]`.
///
/// For the token at position p the row is p−1: [`Target::logit_row`](crate::Target::logit_row).
/// Fails with [`ErrorKind::AttentionShape`] or [`ErrorKind::Row`].
pub fn raw_attention_row(attention: ArrayView3<'_, f32>, row: usize) -> Result<Array1<f32>, Error> {
    let tokens = check_shape(attention)?;
    if tokens <= row {
        return Err(ErrorKind::Row { row, tokens }.into());
    }
    let mut layer = RetainedLayer::attention(attention)?;
    layer.fused_row(row).map_err(|never| match never {})
}

/// Attention rollout: row `row` of `Ã_L…Ã_1`, where `Ã = (E_h[A] + I)/row sum` (Abnar and Zuidema, "Quantifying Attention Flow
/// in Transformers", ACL 2020). `layers` holds the attention `[H, S, S]` of each layer, first to last. Returns `[S]`.
///
/// This is [`Propagation`] with [`RetainedLayer::attention`] and [`Update::Stochastic`]: where rows of A sum to one, as softmax rows
/// do, `D⁻¹(I + N(A))` and `(A + I)/row sum` are both `(A + I)/2`. For a row that sums to 1 + ε they differ by a factor of
/// 1 + ε/2 on the attention.
///
/// ```
/// use attention_relevancy::{ndarray::array, rollout_row};
///
/// let attention = array![[[1.0, 0.0], [0.5, 0.5]]]; // Ã = [[1, 0], [1/4, 3/4]]
/// let row = rollout_row(&[attention.view(), attention.view()], 1)?;
/// assert_eq!(row, array![0.4375, 0.5625]);
/// # Ok::<(), attention_relevancy::Error>(())
/// ```
///
/// Fails with [`ErrorKind::AttentionShape`], [`ErrorKind::NoValues`] without layers, [`ErrorKind::Tokens`] for layers of different length, or
/// [`ErrorKind::Row`].
pub fn rollout_row(layers: &[ArrayView3<'_, f32>], row: usize) -> Result<Array1<f32>, Error> {
    let first = layers.first().ok_or(ErrorKind::NoValues)?;
    let mut propagation = Propagation::unit(check_shape(*first)?, row)?;
    for &attention in layers.iter().rev() {
        let mut layer = RetainedLayer::attention(attention)?;
        propagation.step(Update::Stochastic, &mut layer)?;
    }
    Ok(propagation.finish())
}

/// Norm-based attention of one row, `fuse_h[A_h ⊙ ‖W_O^h·V^h‖]`, `[n]`, from attention `[H, n]` and the norms `[H, n]` of what each head
/// would add to the stream if it took all of one token: `‖α·f(x)‖`, `f(x) = (x·W_V)·W_O` (Kobayashi, Kuribayashi, Yokoi and Inui,
/// "Attention is Not Only a Weight: Analyzing Transformers with Vector Norms", EMNLP 2020, eq. 3 and 4, by head).
///
/// A token that much attention goes to may carry almost nothing: attention sinks have small values. What heads add to each other is not
/// followed (the norm of their sum is at most the sum of their norms), and neither are the norm and the stream behind them.
///
/// ```
/// use attention_relevancy::{HeadFusion, ndarray::array, value_norm_row};
///
/// let (attention, norms) = (array![[0.75, 0.25], [0.5, 0.5]], array![[0.0, 4.0], [2.0, 2.0]]);
/// assert_eq!(value_norm_row(attention.view(), norms.view(), HeadFusion::Mean)?, array![0.5, 1.0]);
/// # Ok::<(), attention_relevancy::Error>(())
/// ```
///
/// Fails with [`ErrorKind::RowsShape`], [`ErrorKind::HeadRows`] or [`ErrorKind::Head`].
pub fn value_norm_row(
    attention: ArrayView2<'_, f32>,
    norms: ArrayView2<'_, f32>,
    heads: HeadFusion,
) -> Result<Array1<f32>, Error> {
    if attention.dim() != norms.dim() {
        let [expected, found] = [attention, norms].map(|rows| rows.dim().into());
        return Err(ErrorKind::RowsShape { expected, found }.into());
    }
    heads.fuse((&attention * &norms).view())
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array3, array};

    use super::*;

    #[test]
    fn raw_attention_is_the_head_mean() {
        let attention = array![[[1.0, 0.0], [0.25, 0.75]], [[1.0, 0.0], [0.75, 0.25]]];
        assert_eq!(raw_attention_row(attention.view(), 1), Ok(array![0.5, 0.5]));
        assert_eq!(
            raw_attention_row(attention.view(), 2),
            Err(ErrorKind::Row { row: 2, tokens: 2 }.into())
        );
    }

    #[test]
    fn rollout_goes_from_the_last_layer_to_the_first() {
        // Layer 2 takes everything from token 1, layer 1 gives token 1 what token 0 has: the other order differs.
        let first = array![[[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]];
        let last = array![[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]];
        assert_eq!(rollout_row(&[first.view(), last.view()], 2), Ok(array![0.25, 0.25, 0.5]));
        assert_eq!(rollout_row(&[last.view(), first.view()], 2), Ok(array![0.0, 0.5, 0.5]));
    }

    #[test]
    fn norms_are_of_the_heads_and_keys_of_the_attention() {
        let (rows, fewer) = (Array2::ones((2, 3)), Array2::ones((2, 2)));
        let row = |norms: &Array2<f32>, heads| value_norm_row(rows.view(), norms.view(), heads);
        let found = row(&fewer, HeadFusion::Mean);
        let shape = ErrorKind::RowsShape { expected: [2, 3], found: [2, 2] };
        assert_eq!(found, Err(shape.into()));
        let found = row(&rows, HeadFusion::One(2));
        assert_eq!(found, Err(ErrorKind::Head { head: 2, heads: 2 }.into()));
        let norms = array![[1.0, 2.0, 3.0], [2.0, 1.0, 0.0]];
        assert_eq!(row(&norms, HeadFusion::Max), Ok(array![2.0, 2.0, 3.0]));
        assert_eq!(row(&norms, HeadFusion::One(1)), Ok(array![2.0, 1.0, 0.0]));
    }

    #[test]
    fn bad_input_is_told() {
        let (two, three) = (Array3::ones((1, 2, 2)), Array3::ones((1, 3, 3)));
        assert_eq!(rollout_row(&[], 0), Err(ErrorKind::NoValues.into()));
        let mixed = rollout_row(&[two.view(), three.view()], 0);
        assert_eq!(mixed, Err(ErrorKind::Tokens { expected: 2, found: 3 }.into()));
        assert_eq!(rollout_row(&[two.view()], 2), Err(ErrorKind::Row { row: 2, tokens: 2 }.into()));
    }
}
