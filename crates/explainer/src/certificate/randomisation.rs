//! The same maps of a model that forgot: layers without what they learnt, from the last layer down (Adebayo et al., Sanity Checks for Saliency
//! Maps, 2018). A map that stays as it was shows the picture or the architecture, and not what the model learnt.

use explanation_record::MapChange;

use super::plan::Cells;
use crate::{Answer, Error, Explanations, Request, TargetExplanation};

/// The first layer that forgot, for each step of the cascade: the last layer, the last quarter, half, three quarters, all of them.
fn steps(layers: usize) -> Vec<usize> {
    let mut steps: Vec<usize> = [layers - 1]
        .into_iter()
        .chain([3, 2, 1, 0].map(|quarters| layers * quarters / 4))
        .collect();
    steps.dedup();
    steps
}

impl Request<'_> {
    /// For each target how its map changes with each step. Words, answer and what each token is set against stay.
    pub(super) fn randomisation(
        &self,
        answer: &Answer,
        (explained, explanations): (&[TargetExplanation], &Explanations),
        cells: &Cells,
        seed: u64,
    ) -> Result<Vec<Vec<MapChange>>, Error> {
        let layers = self.model.config().text.num_hidden_layers;
        let mut found: Vec<Vec<MapChange>> = vec![Vec::new(); explained.len()];
        for first in steps(layers) {
            let model = self.model.with_shuffled_layers(first, seed)?;
            let request = self.by(&model);
            let targets = (explained, &explanations.options);
            let again = request.explained_on(&answer.sequence, answer, targets)?;
            let what = match (first, layers) {
                (0, _) => "all layers randomised".to_owned(),
                _ if first + 1 == layers => format!("layer {layers} of {layers} randomised"),
                _ => format!("layers {} to {layers} of {layers} randomised", first + 1),
            };
            for ((found, target), again) in found.iter_mut().zip(explained).zip(&again) {
                found.push(cells.change(what.clone(), [target, again]));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cascade_goes_from_the_last_layer_to_all() {
        assert_eq!(steps(34), [33, 25, 17, 8, 0]);
        assert_eq!(steps(4), [3, 2, 1, 0]);
        assert_eq!(steps(1), [0]);
    }
}
