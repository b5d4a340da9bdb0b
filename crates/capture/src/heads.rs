//! What single heads did for a goal.

use crate::readout::{AttentionRow, RowReader};
use crate::seam::Dims;
use crate::{Error, Goal, LanguageModel, LayerSwept, Observer, Streaming, convert};
use attention_relevancy::ndarray::{Array2, ArrayView1, s};
use attention_relevancy::{HeadMaps, HeadShares};
use std::ops::Range;

/// Keeps what every head did in a sweep. Layers with fewer heads than others have zeros behind theirs.
#[derive(Debug)]
pub struct HeadRecorder<'a> {
    shares: Vec<HeadShares>,
    goals: &'a [Goal],
    images: &'a [Range<usize>],
}

impl<'a> HeadRecorder<'a> {
    /// For a sweep of `engine` over these goals; `maps` asks for the maps of the heads of that layer, `2·H·S` numbers a goal.
    ///
    /// Fails with [`Error::Layer`] for a layer that the model does not have.
    pub fn new<M: LanguageModel>(
        engine: &Streaming<'a, M>,
        goals: &'a [Goal],
        maps: Option<usize>,
    ) -> Result<Self, Error> {
        let dims = engine.model().dims();
        if let Some(layer) = maps.filter(|&layer| dims.len() <= layer) {
            return Err(Error::Layer { layer, layers: dims.len() });
        }
        let shares = vec![zeros(&dims, maps, engine.tokens()); goals.len()];
        Ok(Self { shares, goals, images: engine.states().layout().images() })
    }

    /// One for each goal.
    pub fn finish(self) -> Vec<HeadShares> {
        self.shares
    }
}

impl Observer for HeadRecorder<'_> {
    fn bytes(&self, _goals: usize) -> u64 {
        self.shares.iter().map(bytes).sum()
    }

    fn see(&mut self, swept: &LayerSwept<'_>) {
        let reader = Reader { rows: swept.rows(), images: self.images };
        let carried = convert::matrix(swept.heads);
        for (index, carried) in swept.goals.clone().zip(carried.outer_iter()) {
            let shares = &mut self.shares[index];
            shares.carried.slice_mut(s![swept.layer, ..carried.len()]).assign(&carried);
            see_heads(shares, swept, index, &self.goals[index], &reader);
        }
    }
}

fn bytes(HeadShares { carried, entropy, image, maps, .. }: &HeadShares) -> u64 {
    let maps = maps.iter().flat_map(|maps| [&maps.attention, &maps.gradient_attention]);
    let numbers: usize = [carried, entropy, image].into_iter().chain(maps).map(Array2::len).sum();
    (numbers * size_of::<f32>()) as u64
}

fn zeros(dims: &[Dims], maps: Option<usize>, tokens: usize) -> HeadShares {
    let (layers, heads) = (dims.len(), dims.iter().map(|dims| dims.heads).max().unwrap_or(0));
    let [carried, entropy, image] = std::array::from_fn(|_| Array2::zeros((layers, heads)));
    let maps = maps.map(|layer| {
        let [attention, gradient_attention] =
            std::array::from_fn(|_| Array2::zeros((dims[layer].heads, tokens)));
        HeadMaps::new(layer, attention, gradient_attention)
    });
    HeadShares::new(carried, entropy, image).with_maps(maps)
}

/// Takes in what one layer shows of the goal with that index.
fn see_heads(
    shares: &mut HeadShares,
    swept: &LayerSwept<'_>,
    index: usize,
    goal: &Goal,
    reader: &Reader<'_>,
) {
    let weight = 1.0 / goal.targets().len() as f32;
    for row in goal.targets().iter().map(|target| target.logit_row()) {
        let seen = reader.rows.attention(row);
        for (head, attention) in seen.attention.outer_iter().enumerate() {
            let at = [swept.layer, head];
            shares.entropy[at] += weight * entropy(attention);
            shares.image[at] += weight * share(attention, seen.keys.positions(), reader.images);
        }
        if let Some(maps) = shares.maps.as_mut().filter(|maps| maps.layer == swept.layer) {
            let gradient = reader.rows.gradient(&seen.keys, &swept.row_gradient(index, row));
            add(maps, weight, &seen, &gradient);
        }
    }
}

fn add(maps: &mut HeadMaps, weight: f32, seen: &AttentionRow, gradient: &Array2<f32>) {
    let positive = (&seen.attention * gradient).mapv_into(|x| x.max(0.0));
    for (positions, columns) in seen.keys.runs() {
        let (at, columns) = (s![.., positions], s![.., columns]);
        maps.attention.slice_mut(at).scaled_add(weight, &seen.attention.slice(columns));
        maps.gradient_attention.slice_mut(at).scaled_add(weight, &positive.slice(columns));
    }
}

/// What the rows of one layer are read with.
struct Reader<'a> {
    rows: RowReader<'a>,
    images: &'a [Range<usize>],
}

/// `−Σ a·ln a` in nats.
fn entropy(attention: ArrayView1<'_, f32>) -> f32 {
    let terms = attention.iter().map(|&a| f64::from(a)).filter(|&a| 0.0 < a);
    (0.0 - terms.map(|a| a * a.ln()).sum::<f64>()) as f32
}

/// How much of the attention to the keys at these positions is on the images.
fn share(
    attention: ArrayView1<'_, f32>,
    keys: impl Iterator<Item = usize>,
    images: &[Range<usize>],
) -> f32 {
    let on = |(key, &a): (usize, &f32)| {
        images.iter().any(|image| image.contains(&key)).then_some(f64::from(a))
    };
    keys.zip(attention).filter_map(on).sum::<f64>() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use attention_relevancy::ndarray::array;

    fn assert_near(found: f32, expected: f32) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }

    #[test]
    fn entropy_is_zero_for_one_key_and_the_logarithm_of_their_number_for_keys_alike() {
        assert_near(entropy(array![0.0, 1.0].view()), 0.0);
        assert_near(entropy(array![0.25, 0.25, 0.25, 0.25].view()), 4f32.ln());
    }

    #[test]
    fn the_share_of_images_counts_positions_of_the_sequence() {
        let attention = array![0.125, 0.25, 0.5, 0.125];
        assert_near(share(attention.view(), 10..14, &[2..4, 11..12, 13..20]), 0.375);
        assert_near(share(attention.view(), 10..14, &[]), 0.0);
    }
}
