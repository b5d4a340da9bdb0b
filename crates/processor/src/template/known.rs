//! Chat templates that were read by people: these are rendered in this process.

use sha2::{Digest, Sha256};

/// SHA-256 of templates without the white space at their end.
const KNOWN: [&str; 2] = [
    // Gemma 3 and what was made of it: in the published tokenizer_config.json, and in transformers' conversion script.
    "8d9e3a3c114fb2053ec500184677af4f7e5f8ec2582443cd535834e68b3ade29",
    // The checkpoints of this project.
    "2db3517cb616f07f3f641bd19d634444f63896f23eda75f05d2184c3a81c3ae4",
];

/// Whether a template takes time and memory in proportion to the messages, as those of the list do.
pub(super) fn is_known(source: &str) -> bool {
    let digest = Sha256::digest(source.trim_end());
    let is_digest = |hex: &&str| {
        digest.iter().enumerate().all(|(n, byte)| hex[2 * n..][..2] == format!("{byte:02x}"))
    };
    KNOWN.iter().any(is_digest)
}

#[cfg(test)]
mod tests {
    use super::is_known;

    #[test]
    fn the_templates_of_gemma_and_of_this_project_are_known_and_no_variation_is() {
        let gemma = include_str!("../../tests/fixtures/checkpoint/chat_template.jinja");
        // Read when the test runs: the file is not in the published package.
        let own =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../checkpoint-files/src/chat_template.jinja");
        for template in [gemma, &std::fs::read_to_string(own).unwrap()] {
            assert!(is_known(template) && is_known(&format!("{template}\n")));
            assert!(!is_known(&format!("{template}x")));
            assert!(!is_known(&template.replace("trim", "trim|trim")));
        }
    }
}
