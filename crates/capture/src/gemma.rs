//! Where models are joined: Gemma3, as engines and ledger ask for it. No other file of the engines names a model.
//!
//! What goes on through the vision tower (`patches.rs`) is made for this one tower and takes its types as they are; what sweeps over patches
//! cost is asked of them too.

use crate::budget::Cut;
use crate::ledger::Costs;
use crate::{Error, ImagePart, Keep, LanguageModel, Patches};
use attention_relevancy::Update;
use gemma3_tch::{DecoderLayer, DecoderTrace, Gemma3, Placement, Sequence, SequenceLayout, Watch};
use tch::Tensor;

/// The vision tower, by whose sizes sweeps over patches are planned.
pub(crate) use gemma3_tch::{EncoderLayer, VisionConfig};

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

    fn pull_norm(&self, rows: &Tensor, dnormed: &Tensor) -> Tensor {
        self.text().pull_norm(rows, dnormed)
    }
}

impl Costs for Gemma3 {
    fn placement(&self) -> Placement {
        self.placement()
    }

    fn states(&self, keep: Keep, tokens: usize) -> u64 {
        keep.bytes(self, tokens)
    }

    fn sweep(&self, tokens: usize) -> u64 {
        Cut::least(self, tokens)
    }

    fn picture(&self, keep: Keep) -> Option<u64> {
        let vision = self.config().vision.as_ref()?;
        Some(keep.patch_bytes(vision, self.kind().elt_size_in_bytes() as u64))
    }

    fn patches(&self, update: Update, is_kept: bool) -> Result<u64, Error> {
        Patches::least_budget(self, update, is_kept)
    }

    fn part(&self) -> u64 {
        ImagePart::bytes(self.config().mm_tokens_per_image, self.width())
    }
}
