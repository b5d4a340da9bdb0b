//! How a job is done. Fields bear the names of the command's options, where there is one.

use serde::{Deserialize, Serialize};

use crate::{Problem, ProblemKind, whole};

/// How a job is answered, explained and shown. Whatever is left out is as the command does it.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// An answer to explain that is given: nothing is generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 100_000))]
    pub answer: Option<String>,
    /// System prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 100_000))]
    pub system: Option<String>,
    /// Most tokens of the answer.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "whole::optional")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100_000))]
    pub max_new_tokens: Option<u32>,
    /// Sample tokens instead of taking the most likely one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<bool>,
    /// Seed of sampling.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "whole::optional")]
    pub seed: Option<u64>,

    /// Grey values that become black and white, such as `lung` or `-1000,400`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// How DICOM and `NIfTI` become 8 bits: `cxr`, `ct-notebook`, `ct-server`, `mr` or `plain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// Slices of a series: `all`, a number, or a list such as `3,7-12`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slices: Option<String>,
    /// The only frame that is shown, from 1.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "whole::optional")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub frame: Option<u32>,

    /// Words that are explained beside the targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<Words>,
    /// How the explanations of several tokens are combined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<SpanRule>,
    /// Also look for targets in the thinking trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<bool>,
    /// The quantity whose gradient is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// A word that every target is set against; `runner-up`, or `alternatives`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 10_000))]
    pub contrast: Option<String>,
    /// Methods to compare with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub method: Vec<Method>,
    /// Layers that contribute: `all`, `global` or `A..B`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<String>,
    /// Points of the way from the mean cells to the picture.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "whole::optional")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 64))]
    pub path_points: Option<usize>,
    /// Resolution of the maps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// What is recorded beside the maps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub record: Vec<Record>,
    /// Whether words depend on the picture, by these blanks in its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reliance: Vec<RelianceBlank>,
    /// Also explain each target on the mean picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blank_control: Option<bool>,
    /// Certify each map, by these ways to take cells away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificate: Vec<CertificateOperator>,
    /// Controls of a certificate.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "whole::optional")]
    #[cfg_attr(feature = "openapi", schema(minimum = 19, maximum = 999))]
    pub certificate_controls: Option<usize>,
    /// Percent of the cells that a certificate takes away, ascending.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificate_percent: Vec<f64>,
    /// Seed of a certificate.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "whole::optional")]
    pub certificate_seed: Option<u64>,

    /// Regions that the relevancy is summed over: `halves`, `quadrants`, `grid3x3` or `cxr`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regions: Option<String>,
    /// Orientation of a chest radiograph: `pa`, `ap`, `flipped` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orientation: Option<String>,
    /// Colour map of page and figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colormap: Option<String>,
}

/// Options that say how pictures are read and the answer is made.
const ANSWERING: [&str; 9] =
    ["answer", "system", "max_new_tokens", "sample", "seed", "window", "recipe", "slices", "frame"];

impl Options {
    /// Whether everything is left out.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The first option in use that says how pictures are read or the answer is made: what an answer that is there leaves nothing to do.
    pub fn of_answering(&self) -> Option<String> {
        self.used().find(|name| ANSWERING.contains(&name.as_str()))
    }

    /// The first option in use that is about explaining: what an answer alone leaves nothing to do.
    pub fn of_explaining(&self) -> Option<String> {
        self.used().find(|name| !ANSWERING.contains(&name.as_str()))
    }

    /// The names of what is not left out.
    fn used(&self) -> impl Iterator<Item = String> {
        let fields = match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        fields.into_iter().map(|(name, _)| name)
    }

    /// What is wrong with them, whatever the model.
    ///
    /// # Errors
    /// [`ProblemKind::Option`]: a number or the length of a text out of its range.
    pub fn check(&self) -> Result<(), Problem> {
        let texts = [
            ("answer", &self.answer, 100_000),
            ("system", &self.system, 100_000),
            ("contrast", &self.contrast, 10_000),
        ];
        let texts = texts.into_iter().filter_map(|(name, text, most)| {
            let length = text.as_ref()?.chars().count();
            Some((name, length, 1, most, " characters"))
        });
        let numbers = [
            ("max_new_tokens", self.max_new_tokens.map(|number| number as usize), 1, 100_000),
            ("frame", self.frame.map(|number| number as usize), 1, u32::MAX as usize),
            ("path_points", self.path_points, 1, 64),
            ("certificate_controls", self.certificate_controls, 19, 999),
        ];
        let numbers = numbers
            .into_iter()
            .filter_map(|(name, number, least, most)| Some((name, number?, least, most, "")));
        for (name, value, least, most, unit) in texts.chain(numbers) {
            if !(least..=most).contains(&value) {
                let message =
                    format!("options.{name}: {value}{unit}; it has to be {least} to {most}");
                return Err(Problem::new(ProblemKind::Option, message));
            }
        }
        Ok(())
    }
}

/// Words that are explained beside the targets.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Words {
    /// Every word.
    All,
    /// All but English function words.
    Content,
    /// Only the targets.
    None,
}

/// How the explanations of several tokens are combined.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SpanRule {
    /// Their mean.
    Mean,
    /// A single explanation, of the sum of their objectives.
    Sum,
    /// Their mean, weighted by what the pictures add to each.
    Reliance,
}

/// The quantity whose gradient is taken.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// The logit of the token minus those of the tokens that could stand there.
    Contrast,
    /// The logit of the token: the published rule.
    Logit,
    /// The logarithm of its probability.
    LogProbability,
    /// The logarithm of its odds.
    LogOdds,
}

/// A method to compare with.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say all; docs/methods describe them")]
pub enum Method {
    Relevancy,
    RelevancyAdditive,
    RelevancyStochastic,
    Rollout,
    RawAttention,
    ValueNorm,
    TokenAttention,
    ObjectAttention,
    GradientAttention,
    Legrad,
    DexAr,
    GradCam,
    GradCamHidden,
    InputGradient,
    MeanCell,
    Tam,
    OcclusionMeanEmbedding,
    OcclusionKnockout,
}

/// Resolution of the maps.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Resolution {
    /// A cell a token of the picture.
    Tokens,
    /// A cell a patch of the vision tower.
    Patches,
    /// Patches, and gradient × input at the pixels.
    Pixels,
}

/// What is recorded beside the maps.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// The relevancy by layer.
    Layers,
    /// Results by head.
    Heads,
}

/// What stands in the place of the picture in a test of reliance.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RelianceBlank {
    /// Every pixel has the mean colour of the picture.
    Mean,
    /// A strong Gaussian blur.
    Blur,
    /// Every image token has the mean embedding of the picture's tokens.
    MeanEmbedding,
    /// No later token can attend to the picture.
    Knockout,
}

/// A way to take cells away.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CertificateOperator {
    /// Hidden from the words behind the picture.
    KnockOut,
    /// Replaced by the mean embedding of the picture.
    MeanEmbedding,
    /// Blurred in the picture.
    Blur,
    /// Filled in from the pixels around.
    Road,
    /// All of these, stability and randomisation.
    Full,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_about_answering_or_explaining() {
        let of = |json| {
            let options: Options = serde_json::from_str(json).unwrap();
            (options.of_answering(), options.of_explaining())
        };
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(of("{}"), (None, None));
        for name in ANSWERING {
            // Each is a field, and no other.
            assert!(serde_json::from_value::<Options>(serde_json::json!({ name: null })).is_ok());
        }
        assert_eq!(of(r#"{"seed":1}"#), (named("seed"), None));
        assert_eq!(of(r#"{"method":["tam"]}"#), (None, named("method")));
        assert_eq!(of(r#"{"frame":1,"words":"all"}"#), (named("frame"), named("words")));
    }

    #[test]
    fn what_is_out_of_its_range_is_named() {
        Options::default().check().unwrap();
        let good = r#"{"answer":"ä","max_new_tokens":1,"frame":1,"path_points":64,"certificate_controls":19}"#;
        serde_json::from_str::<Options>(good).unwrap().check().unwrap();
        for (json, part) in [
            (r#"{"answer":""}"#, "options.answer: 0 characters"),
            (r#"{"max_new_tokens":0}"#, "1 to 100000"),
            (r#"{"frame":0}"#, "options.frame"),
            (r#"{"path_points":65}"#, "1 to 64"),
            (r#"{"certificate_controls":18}"#, "19 to 999"),
        ] {
            let problem = serde_json::from_str::<Options>(json).unwrap().check().unwrap_err();
            assert_eq!(problem.kind, ProblemKind::Option, "{json}");
            assert!(problem.message.contains(part), "{json}: {problem}");
        }
    }
}
