//! One canonical name for every spelling that writers of checkpoints use.
//!
//! Before transformers 4.52 `language_model.model.*` and `vision_tower.vision_model.*`; to 4.57 `model.language_model.*`;
//! from 5 on without the level `vision_model`. A language model alone has `model.layers.*`. The canonical name leaves out every
//! optional level.

/// Spellings with a level that others leave out.
const SHORTENED: [(&str, &str); 3] = [
    ("language_model.model.", "language_model."),
    ("language_model.lm_head.", "lm_head."),
    ("vision_tower.vision_model.", "vision_tower."),
];

/// What stands right below `model.` in a language model alone.
const OF_TEXT: [&str; 3] = ["layers.", "embed_tokens.", "norm."];

/// The canonical name of a stored tensor.
pub(crate) fn canonical(stored: &str) -> String {
    let name = match stored.strip_prefix("model.") {
        Some(rest) if OF_TEXT.iter().any(|part| rest.starts_with(part)) => {
            return format!("language_model.{rest}");
        }
        rest => rest.unwrap_or(stored),
    };
    let shorten = |&(long, short): &(&str, &str)| {
        name.strip_prefix(long).map(|rest| format!("{short}{rest}"))
    };
    SHORTENED.iter().find_map(shorten).unwrap_or_else(|| name.to_owned())
}

/// The candidate most similar to `name`: the least edit distance, if it is small for a name of that length.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let most = name.len() / 2;
    // The distance is at least the difference in length: most of a hostile file's names need no comparison.
    let near = candidates.filter(|candidate| candidate.len().abs_diff(name.len()) <= most);
    let scored = near.map(|candidate| (distance(name, candidate), candidate));
    scored.min().filter(|&(distance, _)| distance <= most).map(|(_, candidate)| candidate)
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_means_the_same() {
        for (stored, name) in [
            (
                "language_model.model.layers.3.mlp.up_proj.weight",
                "language_model.layers.3.mlp.up_proj.weight",
            ),
            (
                "model.language_model.layers.3.mlp.up_proj.weight",
                "language_model.layers.3.mlp.up_proj.weight",
            ),
            ("model.layers.3.mlp.up_proj.weight", "language_model.layers.3.mlp.up_proj.weight"),
            ("model.embed_tokens.weight", "language_model.embed_tokens.weight"),
            ("model.norm.weight", "language_model.norm.weight"),
            ("language_model.lm_head.weight", "lm_head.weight"),
            ("lm_head.weight", "lm_head.weight"),
            ("vision_tower.vision_model.post_layernorm.bias", "vision_tower.post_layernorm.bias"),
            ("model.vision_tower.post_layernorm.bias", "vision_tower.post_layernorm.bias"),
            (
                "model.vision_tower.vision_model.post_layernorm.bias",
                "vision_tower.post_layernorm.bias",
            ),
            (
                "model.multi_modal_projector.mm_soft_emb_norm.weight",
                "multi_modal_projector.mm_soft_emb_norm.weight",
            ),
        ] {
            assert_eq!(canonical(stored), name);
        }
    }

    #[test]
    fn nearest_is_by_edit_distance_and_not_far() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(nearest("a.q_proj", ["a.k_proj", "a.o_norm"].into_iter()), Some("a.k_proj"));
        assert_eq!(nearest("a.q_proj", ["something.else"].into_iter()), None);
    }
}
