//! Attention sinks: tokens that are attended to because of a few enormous numbers in their state, and not because of what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ndarray::{Array2, ArrayView1};

/// What becomes of the attention sinks of a run in its relevancy.
///
/// Closed, as [`Method`](crate::Method) is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SinkRule {
    /// They are found and told; the relevancy is what it is.
    Keep,
    /// Their columns are taken out of the propagation: after every layer the row is zero there, so that they receive nothing and pass nothing
    /// on to what they had attended to. Under [`Update::Additive`](crate::Update::Additive) that is Ā with these columns at zero; under
    /// [`Update::Stochastic`](crate::Update::Stochastic) the row loses what they would have got, and its sum falls below one. A row that
    /// predicts an explained token stays, whatever it is. The gradient goes through the sinks as before.
    Drop,
}

impl SinkRule {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Keep, Self::Drop];

    /// The name on the command line and in the record: `keep` or `drop`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Drop => "drop",
        }
    }
}

/// The attention sinks of a run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sinks {
    /// What φ was compared with.
    pub threshold: f32,
    /// The massive dimensions of the hidden states, in order.
    pub dimensions: Vec<usize>,
    /// The sinks in the order of their positions.
    pub tokens: Vec<Sink>,
}

/// A token with a massive activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sink {
    /// Its position in the sequence.
    pub position: usize,
    /// The largest φ of all layers.
    pub phi: f32,
    /// The layer at whose input that is, counted from 0.
    pub layer: usize,
}

/// Finds attention sinks in the hidden states between the layers of a run.
///
/// `φ_j = max_{d ∈ massive} |h_j,d| / √(mean_d h_j,d²)`, the root mean square norm without its gain; a token with φ above a threshold at the
/// input of any layer is a sink (Kang, Kim, Kim and Hwang, "See What You Are Told: Visual Attention Sink in Large Multimodal Models", ICLR
/// 2025, where it is 20; for a model of another width [`SinkFinder::threshold`]). Their massive dimensions are given for each model by hand; here they are
/// found in the run itself, by what massive activations are known for (Sun, Chen, Kolter and Liu, "Massive Activations in Large Language
/// Models", COLM 2024): few tokens have them, and they stand in the same few dimensions from layer to layer.
///
/// - A dimension in which at least half of the tokens of a layer exceed the threshold tells no token from another. It is left out of that
///   layer, of the mean too, and the rest is judged without it. (In Gemma 3 270M one dimension has 93 % of the squared length of
///   every token: with it every token would be a sink, and no other dimension could be massive.)
/// - A dimension is massive if some token exceeds the threshold there at the input of at least half of the layers seen. So a number that is
///   large in a single layer makes no sink.
///
/// φ is at most `√D`, and that only where all else is zero: with fewer than 400 dimensions no token reaches 20.
///
/// ```
/// use attention_relevancy::{SinkFinder, ndarray::{array, s}};
///
/// let hidden = array![[0.1, -9.0, 0.2, 0.1], [1.0, -1.0, 1.0, 1.0], [1.0, 1.0, 0.5, 1.0]];
/// let mut finder = SinkFinder::new(1.5);
/// for layer in 1..3 {
///     finder.see(layer, 3, |tokens| hidden.slice(s![tokens, ..]).to_owned());
/// }
/// let sinks = finder.finish();
/// assert_eq!((sinks.dimensions, sinks.tokens[0].position, sinks.tokens.len()), (vec![1], 0, 1));
/// ```
#[derive(Clone, Debug)]
pub struct SinkFinder {
    threshold: f32,
    layers: BTreeSet<usize>,
    massive: Vec<Activation>,
}

/// A number beyond the threshold.
#[derive(Clone, Copy, Debug)]
struct Activation {
    layer: usize,
    position: usize,
    dimension: usize,
    phi: f32,
}

impl SinkFinder {
    /// The threshold of Kang et al. (2025), for states of 4096 numbers.
    pub const THRESHOLD: f32 = 20.0;
    /// The width that it was published for.
    const PUBLISHED_WIDTH: usize = 4096;
    /// Tokens that are looked at together.
    const TOKENS: usize = 256;

    /// The threshold for a model whose states have `width` numbers, `20·√(width/4096)`: 7.9 for 640, 15.8 for 2560.
    ///
    /// The published one means another thing at another width. A number with φ has `φ²/D` of the squares of its state: with 20 of 4096 that is
    /// 9.8 %, and this is the threshold for the same part of a state of this width. It is a fixed part of `√D`, the largest φ there can be.
    /// That it should go with the width is our reading of it and was not measured. In narrow models ordinary numbers reach it: the largest of D normally
    /// distributed numbers is about `√(2·ln D)`, which is above it where D is below about 100.
    pub fn threshold(width: usize) -> f32 {
        Self::THRESHOLD * (width as f32 / Self::PUBLISHED_WIDTH as f32).sqrt()
    }

    /// Nothing seen yet.
    pub fn new(threshold: f32) -> Self {
        Self { threshold, layers: BTreeSet::new(), massive: Vec::new() }
    }

    /// Takes in the hidden states of so many tokens at the input of a layer: `hidden` makes those of some tokens, `[n, D]`, and is asked for
    /// each more than once. The embeddings, the input of layer 0, are no state between layers and are not to be shown. Of a token at
    /// most `D/threshold²` numbers are kept.
    pub fn see(
        &mut self,
        layer: usize,
        tokens: usize,
        hidden: impl Fn(Range<usize>) -> Array2<f32>,
    ) {
        self.layers.insert(layer);
        let parts = || {
            let starts = (0..tokens).step_by(Self::TOKENS);
            starts.map(|start| start..(start + Self::TOKENS).min(tokens))
        };
        let mut common = BTreeSet::new();
        loop {
            let mut counts = BTreeMap::<usize, usize>::new();
            let mut found = Vec::new();
            for part in parts() {
                let hidden = hidden(part.clone());
                for (position, row) in part.zip(hidden.outer_iter()) {
                    for (dimension, phi) in self.beyond(row, &common) {
                        *counts.entry(dimension).or_default() += 1;
                        found.push(Activation { layer, position, dimension, phi });
                    }
                }
            }
            let more = counts.into_iter().filter(|&(_, count)| tokens <= 2 * count);
            let before = common.len();
            common.extend(more.map(|(dimension, _)| dimension));
            if common.len() == before {
                self.massive.extend(found);
                return;
            }
        }
    }

    /// The dimensions in which a state `[D]` exceeds the threshold when some are left out, with its φ there.
    fn beyond(&self, state: ArrayView1<'_, f32>, without: &BTreeSet<usize>) -> Vec<(usize, f32)> {
        let counts = || state.iter().enumerate().filter(|(d, _)| !without.contains(d));
        let squares = counts().map(|(_, &x)| f64::from(x).powi(2)).sum::<f64>();
        let rms = (squares / (state.len() - without.len()).max(1) as f64).sqrt();
        let phi = |(dimension, x): (usize, &f32)| (dimension, (f64::from(x.abs()) / rms) as f32);
        counts().map(phi).filter(|&(_, phi)| self.threshold < phi).collect()
    }

    /// The sinks of all layers seen.
    pub fn finish(self) -> Sinks {
        let Self { threshold, layers, massive } = self;
        let places: BTreeSet<(usize, usize)> =
            massive.iter().map(|found| (found.dimension, found.layer)).collect();
        let mut dimensions: Vec<usize> = places.iter().map(|&(dimension, _)| dimension).collect();
        dimensions.dedup();
        let count = |dimension| places.iter().filter(|place| place.0 == dimension).count();
        dimensions.retain(|&dimension| layers.len() <= 2 * count(dimension));
        let mut tokens: Vec<Sink> = Vec::new();
        let mut massive = massive;
        massive.sort_by_key(|found| (found.position, found.layer));
        for Activation { layer, position, phi, .. } in
            massive.into_iter().filter(|found| dimensions.contains(&found.dimension))
        {
            match tokens.last_mut().filter(|sink| sink.position == position) {
                Some(sink) if sink.phi < phi => (sink.phi, sink.layer) = (phi, layer),
                Some(_) => {}
                None => tokens.push(Sink { position, phi, layer }),
            }
        }
        Sinks { threshold, dimensions, tokens }
    }
}

impl Sinks {
    /// The threshold for people, rounded to hundredths: `7.91`, `20`.
    pub fn threshold_text(&self) -> String {
        ((100.0 * self.threshold).round() / 100.0).to_string()
    }

    /// Their positions, in order.
    pub fn positions(&self) -> Vec<usize> {
        self.tokens.iter().map(|sink| sink.position).collect()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{array, s};

    use super::*;

    /// Nine layers of five tokens with nine dimensions: token 0 is massive in dimension 3 from layer 2 to layer 8, token 2 from layer 5 to
    /// layer 7, with another sign; token 1 has a large number in dimension 6 of one layer; all have an enormous one in dimension 8.
    fn seen(threshold: f32) -> Sinks {
        let mut finder = SinkFinder::new(threshold);
        for layer in 1..10 {
            let mut hidden = Array2::from_shape_fn((5, 9), |(token, d)| {
                0.5 + 0.1 * ((token + 3 * d) % 5) as f32
            });
            if (2..9).contains(&layer) {
                hidden[[0, 3]] = 40.0 + layer as f32;
            }
            if (5..8).contains(&layer) {
                hidden[[2, 3]] = -30.0 - layer as f32;
            }
            if layer == 4 {
                hidden[[1, 6]] = 50.0;
            }
            hidden.column_mut(8).fill(900.0);
            finder.see(layer, 5, |tokens| hidden.slice(s![tokens, ..]).to_owned());
        }
        finder.finish()
    }

    #[test]
    fn what_is_massive_in_half_of_the_layers_makes_sinks() {
        let sinks = seen(2.0);
        assert_eq!(sinks.dimensions, [3]);
        assert_eq!(sinks.positions(), [0, 2]);
        // φ of a token that is zero elsewhere would be √8.
        assert!(sinks.tokens.iter().all(|sink| 2.7 < sink.phi && sink.phi < 8f32.sqrt()));
        assert_eq!(sinks.tokens.iter().map(|sink| sink.layer).collect::<Vec<_>>(), [8, 7]);
    }

    #[test]
    fn the_threshold_is_the_same_part_of_a_state_of_any_width() {
        for (width, expected) in [(4096, SinkFinder::THRESHOLD), (1024, 10.0), (64, 2.5)] {
            assert!((SinkFinder::threshold(width) - expected).abs() < 1e-6, "{width}");
        }
        for width in [640, 2560, 5376] {
            let part = SinkFinder::threshold(width).powi(2) / width as f32;
            assert!((part - 400.0 / 4096.0).abs() < 1e-6, "{width}: {part}");
        }
    }

    #[test]
    fn nothing_reaches_beyond_the_root_of_the_width() {
        let sinks = seen(SinkFinder::THRESHOLD);
        assert_eq!((sinks.dimensions, sinks.tokens), (vec![], vec![]));
        assert_eq!(SinkFinder::new(1.0).finish().tokens, []);
        let mut finder = SinkFinder::new(1.0);
        finder.see(1, 1, |_| array![[0.0, 0.0]]);
        assert_eq!(finder.finish().tokens, []);
    }
}
