//! Where models are joined: Gemma3, as engines ask for it. No other file names a model.

use crate::{LanguageModel, PictureModel, PictureTower};
use gemma3_tch::{
    DecoderLayer, DecoderTrace, EncoderLayer, Error, Gemma3, Placement, PullRule, Sequence,
    SequenceLayout, Vision, Watch,
};
use tch::Tensor;

/// The model that is meant where none is named.
pub(crate) type Joined = Gemma3;

impl LanguageModel for Gemma3 {
    type Layer = DecoderLayer;

    fn layers(&self) -> &[DecoderLayer] {
        self.text().layers()
    }

    fn placement(&self) -> Placement {
        self.placement()
    }

    fn width(&self) -> usize {
        self.config().text.hidden_size
    }

    fn vocabulary(&self) -> usize {
        self.config().text.vocab_size
    }

    fn embed(&self, sequence: &Sequence) -> Tensor {
        self.embed(sequence)
    }

    fn run(
        &self,
        embeddings: &Tensor,
        layout: &SequenceLayout,
        watch: &mut dyn Watch<DecoderTrace>,
    ) -> Tensor {
        self.text().forward(embeddings, 0, layout, watch)
    }

    fn logits(&self, rows: &Tensor) -> Tensor {
        self.text().logits(rows)
    }

    fn logits_of(&self, rows: &Tensor, tokens: &[u32]) -> Tensor {
        self.text().logits_of(rows, tokens)
    }

    fn head_gradients(&self, tokens: &[u32]) -> Tensor {
        self.text().head_gradients(tokens)
    }

    fn pull_head(&self, dlogits: &Tensor) -> Tensor {
        self.text().pull_head(dlogits)
    }

    fn pull_norm(&self, rows: &Tensor, dnormed: &Tensor, rule: PullRule) -> Tensor {
        self.text().pull_norm(rows, dnormed, rule)
    }

    fn value_norms(&self, layer: usize, values: &Tensor) -> Tensor {
        self.text().layers()[layer].value_norms(values)
    }
}

impl PictureModel for Gemma3 {
    type Tower = Vision;

    fn tower(&self) -> Result<&Vision, Error> {
        self.vision()
    }
}

impl PictureTower for Vision {
    type Layer = EncoderLayer;

    fn layers(&self) -> &[EncoderLayer] {
        self.tower.layers()
    }

    fn placement(&self) -> Placement {
        self.tower.placement()
    }

    fn picture(&self) -> [usize; 3] {
        [self.config.num_channels, self.config.image_size, self.config.image_size]
    }

    fn patches(&self) -> [usize; 2] {
        [self.config.patches_per_side(); 2]
    }

    fn tokens(&self) -> [usize; 2] {
        [self.projector.tokens_per_side(); 2]
    }

    fn width(&self) -> usize {
        self.config.hidden_size
    }

    fn embed(&self, picture: &Tensor) -> Tensor {
        self.tower.embed(picture)
    }

    fn features(&self, last: &Tensor) -> Tensor {
        self.tower.features(last)
    }

    fn project(&self, features: &Tensor) -> Tensor {
        self.projector.forward(features)
    }

    fn pull_project(&self, features: &Tensor, dtokens: &Tensor, rule: PullRule) -> Tensor {
        self.projector.pull_back(features, dtokens, rule)
    }

    fn pull_features(&self, last: &Tensor, dfeatures: &Tensor, rule: PullRule) -> Tensor {
        self.tower.pull_features(last, dfeatures, rule)
    }

    fn pull_embed(&self, _: &Tensor, dembedded: &Tensor, _: PullRule) -> Tensor {
        self.tower.pull_embed(dembedded)
    }

    fn run_bytes(&self) -> u64 {
        self.tower.layers().iter().map(EncoderLayer::run_bytes).max().unwrap_or(0)
    }
}
