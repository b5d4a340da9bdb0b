//! What is read off attention alone, to compare an explanation with.

use ndarray::{Array1, ArrayView3};

use crate::{
    Error, ErrorKind, FusedAttention, Propagation, RetainedLayer, Update, retained::check_shape,
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

#[cfg(test)]
mod tests {
    use ndarray::{Array3, array};

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
    fn bad_input_is_told() {
        let (two, three) = (Array3::ones((1, 2, 2)), Array3::ones((1, 3, 3)));
        assert_eq!(rollout_row(&[], 0), Err(ErrorKind::NoValues.into()));
        let mixed = rollout_row(&[two.view(), three.view()], 0);
        assert_eq!(mixed, Err(ErrorKind::Tokens { expected: 2, found: 3 }.into()));
        assert_eq!(rollout_row(&[two.view()], 2), Err(ErrorKind::Row { row: 2, tokens: 2 }.into()));
    }
}
