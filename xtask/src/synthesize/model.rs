//! The tensors of a Gemma3 vision-language model: names, shapes, and how large their entries are.
//!
//! Names are those of the published checkpoints (`language_model.model.…`, `vision_tower.vision_model.…`).
//! A matrix has deviation 1/√(inputs), 0.02 for a width of 2560: what comes out is as large as what goes in.

use checkpoint_files::companions::Vision;

use super::Size;
use super::noise::Normal;

/// The sizes that a configuration states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) size: Size,
    pub(crate) text: Text,
    pub(crate) vision: Vision,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) rows: usize,
    pub(crate) hidden: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) key_heads: usize,
    pub(crate) head_width: usize,
    pub(crate) feed_forward: usize,
    pub(crate) window: usize,
}

/// One tensor to write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) normal: Normal,
}

impl Tensor {
    pub(crate) fn elements(&self) -> u64 {
        self.shape.iter().map(|&size| size as u64).product()
    }
}

/// Name of the embedding, whose rows are also the rows of the head.
pub(crate) const EMBEDDING: &str = "language_model.model.embed_tokens.weight";

/// The vision tower of every published size.
const SIGLIP: Vision =
    Vision { hidden: 1152, layers: 27, heads: 16, inner: 4304, image: 896, patch: 14 };

/// A vision tower that costs next to nothing.
const SMALL_SIGLIP: Vision =
    Vision { hidden: 32, layers: 2, heads: 2, inner: 64, image: 448, patch: 14 };

impl Model {
    pub(crate) fn new(size: Size) -> Self {
        let (text, vision) = match size {
            Size::Tiny => (
                Text {
                    rows: 768,
                    hidden: 64,
                    layers: 7,
                    heads: 4,
                    key_heads: 2,
                    head_width: 16,
                    feed_forward: 128,
                    window: 96,
                },
                SMALL_SIGLIP,
            ),
            Size::Mid => (
                Text {
                    rows: 768,
                    hidden: 640,
                    layers: 12,
                    heads: 8,
                    key_heads: 4,
                    head_width: 64,
                    feed_forward: 2560,
                    window: 1024,
                },
                SMALL_SIGLIP,
            ),
            Size::OneB => (
                Text {
                    rows: 262_208,
                    hidden: 1152,
                    layers: 26,
                    heads: 4,
                    key_heads: 1,
                    head_width: 256,
                    feed_forward: 6912,
                    window: 512,
                },
                SIGLIP,
            ),
            Size::FourB => (
                Text {
                    rows: 262_208,
                    hidden: 2560,
                    layers: 34,
                    heads: 8,
                    key_heads: 4,
                    head_width: 256,
                    feed_forward: 10240,
                    window: 1024,
                },
                SIGLIP,
            ),
        };
        Self { size, text, vision }
    }

    /// Rows of the embedding: more than there are tokens.
    pub(crate) fn rows(&self) -> usize {
        self.text.rows
    }

    /// Every tensor, in the order of the layers.
    pub(crate) fn tensors(&self) -> Vec<Tensor> {
        let mut list = List::default();
        self.text.list(&mut list);
        list_vision(&self.vision, &mut list);
        list.matrix(
            "multi_modal_projector.mm_input_projection_weight",
            [self.vision.hidden, self.text.hidden],
            0,
        );
        list.rms_norm("multi_modal_projector.mm_soft_emb_norm", self.vision.hidden, 0.0);
        list.0
    }
}

impl Text {
    fn list(&self, list: &mut List) {
        let Self { rows, hidden, .. } = *self;
        list.matrix(EMBEDDING, [rows, hidden], 1);
        for layer in 0..self.layers {
            self.list_layer(list, &format!("language_model.model.layers.{layer}"));
        }
        list.rms_norm("language_model.model.norm", hidden, 0.0);
    }

    fn list_layer(&self, list: &mut List, layer: &str) {
        let Self { hidden, heads, key_heads, head_width, feed_forward, .. } = *self;
        list.rms_norm(&format!("{layer}.input_layernorm"), hidden, 0.0);
        for (name, count) in [("q_proj", heads), ("k_proj", key_heads), ("v_proj", key_heads)] {
            list.matrix(
                &format!("{layer}.self_attn.{name}.weight"),
                [count * head_width, hidden],
                1,
            );
        }
        list.matrix(&format!("{layer}.self_attn.o_proj.weight"), [hidden, heads * head_width], 1);
        // Scores have deviation (1 + w)² after these norms: about 2, so that attention is not nearly uniform.
        for name in ["q_norm", "k_norm"] {
            list.rms_norm(&format!("{layer}.self_attn.{name}"), head_width, 0.8);
        }
        // What the layers add outweighs the embedding of the last token, or the tied head would only repeat it.
        list.rms_norm(&format!("{layer}.post_attention_layernorm"), hidden, 0.2);
        list.rms_norm(&format!("{layer}.pre_feedforward_layernorm"), hidden, 0.0);
        for name in ["gate_proj", "up_proj"] {
            list.matrix(&format!("{layer}.mlp.{name}.weight"), [feed_forward, hidden], 1);
        }
        list.matrix(&format!("{layer}.mlp.down_proj.weight"), [hidden, feed_forward], 1);
        list.rms_norm(&format!("{layer}.post_feedforward_layernorm"), hidden, 1.5);
    }
}

fn list_vision(vision: &Vision, list: &mut List) {
    let Vision { hidden, image, patch, .. } = *vision;
    let tower = "vision_tower.vision_model";
    let patches = (image / patch).pow(2);
    let inputs = 3 * patch * patch;
    let name = format!("{tower}.embeddings.patch_embedding");
    list.push(&format!("{name}.weight"), &[hidden, 3, patch, patch], scaled(inputs));
    list.push(&format!("{name}.bias"), &[hidden], BIAS);
    let position = Normal { mean: 0.0, deviation: 0.1 };
    list.push(
        &format!("{tower}.embeddings.position_embedding.weight"),
        &[patches, hidden],
        position,
    );
    for layer in 0..vision.layers {
        list_vision_layer(vision, list, &format!("{tower}.encoder.layers.{layer}"));
    }
    list.layer_norm(&format!("{tower}.post_layernorm"), hidden);
}

fn list_vision_layer(vision: &Vision, list: &mut List, layer: &str) {
    let Vision { hidden, inner, .. } = *vision;
    list.layer_norm(&format!("{layer}.layer_norm1"), hidden);
    for name in ["q_proj", "k_proj", "v_proj", "out_proj"] {
        list.linear(&format!("{layer}.self_attn.{name}"), [hidden, hidden]);
    }
    list.layer_norm(&format!("{layer}.layer_norm2"), hidden);
    list.linear(&format!("{layer}.mlp.fc1"), [inner, hidden]);
    list.linear(&format!("{layer}.mlp.fc2"), [hidden, inner]);
}

const BIAS: Normal = Normal { mean: 0.0, deviation: 0.02 };

fn scaled(inputs: usize) -> Normal {
    Normal { mean: 0.0, deviation: 1.0 / (inputs as f32).sqrt() }
}

#[derive(Default)]
struct List(Vec<Tensor>);

impl List {
    fn push(&mut self, name: &str, shape: &[usize], normal: Normal) {
        self.0.push(Tensor { name: name.to_owned(), shape: shape.to_vec(), normal });
    }

    /// `inputs` is the axis that is summed over.
    fn matrix(&mut self, name: &str, shape: [usize; 2], inputs: usize) {
        self.push(name, &shape, scaled(shape[inputs]));
    }

    fn linear(&mut self, name: &str, shape: [usize; 2]) {
        self.matrix(&format!("{name}.weight"), shape, 1);
        self.push(&format!("{name}.bias"), &shape[..1], BIAS);
    }

    /// Gemma multiplies by 1 + weight.
    fn rms_norm(&mut self, name: &str, width: usize, mean: f32) {
        self.push(&format!("{name}.weight"), &[width], Normal { mean, deviation: 0.05 });
    }

    fn layer_norm(&mut self, name: &str, width: usize) {
        self.push(&format!("{name}.weight"), &[width], Normal { mean: 1.0, deviation: 0.05 });
        self.push(&format!("{name}.bias"), &[width], BIAS);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn four_b_has_the_883_tensors_of_the_real_one() {
        let tensors = Model::new(Size::FourB).tensors();
        let names: HashSet<_> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!((tensors.len(), names.len()), (883, 883));
        let count = |prefix| names.iter().filter(|name| name.starts_with(prefix)).count();
        assert_eq!(count("language_model.model."), 444);
        assert_eq!(count("vision_tower.vision_model."), 437);
        assert_eq!(count("multi_modal_projector."), 2);
    }

    #[test]
    fn four_b_has_the_shapes_of_the_real_one() {
        let tensors = Model::new(Size::FourB).tensors();
        let shape = |name: &str| tensors.iter().find(|t| t.name == name).unwrap().shape.clone();
        assert_eq!(shape(EMBEDDING), [262_208, 2560]);
        assert_eq!(shape("language_model.model.layers.33.self_attn.k_proj.weight"), [1024, 2560]);
        assert_eq!(shape("language_model.model.layers.0.self_attn.o_proj.weight"), [2560, 2048]);
        assert_eq!(shape("language_model.model.layers.0.mlp.down_proj.weight"), [2560, 10240]);
        assert_eq!(
            shape("vision_tower.vision_model.embeddings.position_embedding.weight"),
            [4096, 1152]
        );
        assert_eq!(
            shape("vision_tower.vision_model.encoder.layers.26.mlp.fc1.weight"),
            [4304, 1152]
        );
        assert_eq!(shape("multi_modal_projector.mm_input_projection_weight"), [1152, 2560]);
        assert_eq!(shape("multi_modal_projector.mm_soft_emb_norm.weight"), [1152]);
        let bytes: u64 = tensors.iter().map(|tensor| 2 * tensor.elements()).sum();
        assert!((8.5e9..8.7e9).contains(&(bytes as f64)), "{bytes}");
    }
}
