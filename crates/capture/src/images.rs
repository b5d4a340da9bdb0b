//! What goals leave at the tokens of pictures: where the sweep over patches begins.

use crate::{Attribution, Error, LanguageModel, LayerSwept, Observer, Streaming};
use attention_relevancy::ndarray::{Array1, s};
use std::ops::Range;
use tch::Tensor;

/// What one goal leaves at the t tokens of one picture.
#[derive(Debug)]
pub struct ImagePart {
    /// Relevancy of the tokens `[t]`, raw.
    pub relevancy: Array1<f32>,
    /// Gradient of the goal's objective at the embeddings of the tokens `[t, D]`, float32. What a token does through the others
    /// is in it.
    pub gradient: Tensor,
}

/// Keeps what goals leave at some pictures in a sweep.
#[derive(Debug)]
pub struct ImageRecorder {
    spans: Vec<Range<usize>>,
    /// For each picture those of the goals, `[t, D]`.
    gradients: Vec<Vec<Tensor>>,
    /// Bytes of what one goal leaves at all of the pictures.
    parts: u64,
}

impl ImagePart {
    /// Bytes of one, for so many tokens in a model of that hidden width: `4·t·(D + 1)`.
    pub fn bytes(tokens: usize, width: usize) -> u64 {
        4 * (tokens * (width + 1)) as u64
    }
}

impl Observer for ImageRecorder {
    fn bytes(&self, goals: usize) -> u64 {
        self.parts * goals as u64
    }

    fn see(&mut self, swept: &LayerSwept<'_>) {
        if swept.layer > 0 {
            return;
        }
        // Parts of the sweep come in the order of their goals.
        for (span, gradients) in self.spans.iter().zip(&mut self.gradients) {
            let of = |goal| at_span(&swept.input_gradient.get(goal), &swept.keys, span);
            gradients.extend((0..swept.goals.len() as i64).map(of));
        }
    }
}

impl ImageRecorder {
    /// For a sweep of `engine` and these pictures of the sequence, counted from 0. What a goal leaves at one takes
    /// [`ImagePart::bytes`] (2.6 MB for 256 tokens of 2560 numbers), so ask for the pictures that are wanted.
    ///
    /// Fails with [`Error::Image`] for a picture that the sequence does not have.
    pub fn new<M: LanguageModel>(
        engine: &Streaming<'_, M>,
        images: &[usize],
    ) -> Result<Self, Error> {
        let all = engine.states().layout().images();
        let span = |&index: &usize| {
            all.get(index).cloned().ok_or(Error::Image { index, images: all.len() })
        };
        let spans = images.iter().map(span).collect::<Result<Vec<_>, _>>()?;
        let gradients = spans.iter().map(|_| Vec::new()).collect();
        let part = |span: &Range<usize>| ImagePart::bytes(span.len(), engine.model().width());
        Ok(Self { parts: spans.iter().map(part).sum(), spans, gradients })
    }

    /// `parts[i][goal]` for the picture `images[i]`, when the sweep over these goals gave these attributions.
    pub fn finish<'a>(
        self,
        attributions: impl Iterator<Item = &'a Attribution> + Clone,
    ) -> Vec<Vec<ImagePart>> {
        let part = |span: &Range<usize>, attribution: &Attribution, gradient| ImagePart {
            relevancy: attribution.relevancy.slice(s![span.clone()]).to_owned(),
            gradient,
        };
        let of_image = |(span, gradients): (Range<usize>, Vec<Tensor>)| {
            let both = attributions.clone().zip(gradients);
            both.map(|(attribution, gradient)| part(&span, attribution, gradient)).collect()
        };
        self.spans.into_iter().zip(self.gradients).map(of_image).collect()
    }
}

/// The rows at `span` of a gradient `[n, D]` at the positions `keys`; zero where it does not reach.
pub(crate) fn at_span(gradient: &Tensor, keys: &Range<usize>, span: &Range<usize>) -> Tensor {
    let options = (gradient.kind(), gradient.device());
    let rows = Tensor::zeros([span.len() as i64, gradient.size()[1]], options);
    let (start, end) = (span.start.max(keys.start), span.end.min(keys.end));
    if start < end {
        let n = (end - start) as i64;
        let reached = gradient.narrow(0, (start - keys.start) as i64, n);
        rows.narrow(0, (start - span.start) as i64, n).copy_(&reached);
    }
    rows
}
