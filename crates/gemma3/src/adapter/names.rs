//! Names of an adapter's tensors: `base_model.model.`, the module's path, and what part of it. The path is spelled as the version of
//! transformers did that it was trained with.

/// What PEFT puts in front of every name.
const PREFIX: &str = "base_model.model.";

/// What a tensor is to its module.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A.
    Down,
    /// B.
    Up,
    EmbeddingDown,
    EmbeddingUp,
    /// m of DoRA.
    Magnitude,
    /// A tensor that replaces the one of this name.
    Whole(String),
}

/// The module of a stored tensor, and what the tensor is to it.
pub(super) fn split(stored: &str) -> (String, Part) {
    let name = stored.strip_prefix(PREFIX).unwrap_or(stored);
    let plain = name.strip_suffix(".weight").unwrap_or(name);
    // Before a file is written PEFT takes its adapter's name out; some programs leave it in.
    let plain = plain.strip_suffix(".default").unwrap_or(plain);
    for (suffix, part) in [
        (".lora_A", Part::Down),
        (".lora_B", Part::Up),
        (".lora_embedding_A", Part::EmbeddingDown),
        (".lora_embedding_B", Part::EmbeddingUp),
        (".lora_magnitude_vector", Part::Magnitude),
    ] {
        if let Some(module) = plain.strip_suffix(suffix) {
            return (module.to_owned(), part);
        }
    }
    let tensor = name.replace(".modules_to_save.default.", ".").replace(".modules_to_save.", ".");
    let tensor = tensor.replace(".base_layer.", ".");
    (String::new(), Part::Whole(tensor))
}

/// How paths are spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// Before transformers 4.52: `language_model.model.layers`, `vision_tower.vision_model`.
    Old,
    /// Since then: `model.language_model.layers`, `model.vision_tower`, below it `vision_model` or not.
    New,
    /// Of a language model alone: `model.layers`.
    Text,
}

impl Spelling {
    /// That of a file with these names.
    pub(super) fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut found = Self::Text;
        for name in names.map(|name| name.strip_prefix(PREFIX).unwrap_or(name)) {
            if ["language_model.", "vision_tower.", "multi_modal_projector."]
                .iter()
                .any(|start| name.starts_with(start))
            {
                return Self::Old;
            }
            if ["model.language_model.", "model.vision_tower.", "model.multi_modal_projector."]
                .iter()
                .any(|start| name.starts_with(start))
            {
                found = Self::New;
            }
        }
        found
    }

    /// The spellings of a canonical name that a file of this kind could have; nothing for what such a model does not have.
    pub(super) fn spell(self, canonical: &str) -> Vec<String> {
        let (part, rest) = canonical.split_once('.').unwrap_or((canonical, ""));
        match (self, part) {
            (Self::Old, "language_model") => vec![format!("language_model.model.{rest}")],
            (Self::Old, "lm_head") => vec![format!("language_model.{canonical}")],
            (Self::Old, "vision_tower") => vec![format!("vision_tower.vision_model.{rest}")],
            (Self::New, "vision_tower") => vec![
                format!("model.vision_tower.{rest}"),
                format!("model.vision_tower.vision_model.{rest}"),
            ],
            (Self::New, "language_model" | "multi_modal_projector") => {
                vec![format!("model.{canonical}")]
            }
            (Self::Text, "language_model") => vec![format!("model.{rest}")],
            (Self::Text, "vision_tower" | "multi_modal_projector") => Vec::new(),
            _ => vec![canonical.to_owned()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::canonical;

    #[test]
    fn parts_are_told_by_their_names() {
        for (stored, module, part) in [
            (
                "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight",
                "model.layers.0.mlp.up_proj",
                Part::Down,
            ),
            (
                "base_model.model.model.layers.0.mlp.up_proj.lora_B.default.weight",
                "model.layers.0.mlp.up_proj",
                Part::Up,
            ),
            (
                "base_model.model.model.embed_tokens.lora_embedding_B",
                "model.embed_tokens",
                Part::EmbeddingUp,
            ),
            (
                "model.layers.0.mlp.up_proj.lora_magnitude_vector",
                "model.layers.0.mlp.up_proj",
                Part::Magnitude,
            ),
            (
                "base_model.model.lm_head.modules_to_save.weight",
                "",
                Part::Whole("lm_head.weight".to_owned()),
            ),
            ("base_model.model.lm_head.weight", "", Part::Whole("lm_head.weight".to_owned())),
            ("base_model.model.x.fc1.base_layer.bias", "", Part::Whole("x.fc1.bias".to_owned())),
        ] {
            assert_eq!(split(stored), (module.to_owned(), part), "{stored}");
        }
    }

    #[test]
    fn a_spelling_is_undone_by_the_canonical_name() {
        for spelling in [Spelling::Old, Spelling::New, Spelling::Text] {
            for name in [
                "language_model.layers.4.mlp.up_proj.weight",
                "lm_head.weight",
                "vision_tower.encoder.layers.1.mlp.fc1.bias",
                "multi_modal_projector.mm_soft_emb_norm.weight",
            ] {
                for spelled in spelling.spell(name) {
                    assert_eq!(canonical(&spelled), name);
                    assert!(
                        Spelling::of([spelled.as_str()].into_iter()) == spelling
                            || spelled.starts_with("lm_head")
                    );
                }
            }
        }
    }
}
