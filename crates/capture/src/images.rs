//! What goals leave at the tokens of pictures: where the sweep over patches begins.

use crate::{Attribution, Error, Goal, LayerSwept, Objective, Streaming};
use attention_relevancy::Update;
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

impl Streaming<'_> {
    /// [`Engine::explain`](crate::Engine::explain), and what the goals leave at some pictures of the sequence: `parts[i][goal]` for
    /// the picture `images[i]`, counted from 0. A part takes `4·t·D` bytes (2.6 MB in Gemma3 4B), so ask for the pictures that are wanted.
    ///
    /// Fails with [`Error::Image`] for a picture that the sequence does not have.
    pub fn explain_images(
        &self,
        goals: &[Goal],
        (objective, update): (Objective, Update),
        images: &[usize],
    ) -> Result<(Vec<Attribution>, Vec<Vec<ImagePart>>), Error> {
        let spans = images.iter().map(|&index| self.span(index)).collect::<Result<Vec<_>, _>>()?;
        let mut gradients: Vec<Vec<Tensor>> = spans.iter().map(|_| Vec::new()).collect();
        // Parts of the sweep come in the order of their goals.
        let mut keep = |swept: &LayerSwept<'_>| {
            if swept.layer == 0 {
                for (span, gradients) in spans.iter().zip(&mut gradients) {
                    let of = |goal| at_span(&swept.input_gradient.get(goal), &swept.keys, span);
                    gradients.extend((0..swept.goals.len() as i64).map(of));
                }
            }
        };
        let attributions = self.explain_observed(goals, (objective, update), &mut keep)?;
        let part =
            |span: &Range<usize>, (attribution, gradient): (&Attribution, Tensor)| ImagePart {
                relevancy: attribution.relevancy.slice(s![span.clone()]).to_owned(),
                gradient,
            };
        let parts = spans.iter().zip(gradients).map(|(span, gradients)| {
            attributions.iter().zip(gradients).map(|both| part(span, both)).collect()
        });
        let parts = parts.collect();
        Ok((attributions, parts))
    }

    fn span(&self, index: usize) -> Result<Range<usize>, Error> {
        let images = self.states().images();
        images.get(index).cloned().ok_or(Error::Image { index, images: images.len() })
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
