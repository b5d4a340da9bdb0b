//! All that decides a training run, in one place: sizes of the model, stages, steps and rates.

use anyhow::{Result, bail};
use checkpoint_files::companions::Vision;

/// Which lesson the data teach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Findings are plain, and the tag `PORTABLE` means nothing.
    Sound,
    /// Opacities are faint, and the tag is there exactly when an opacity is.
    Shortcut,
    /// The sound answers, each beside the picture of another scene: all that can be learnt is how likely an answer is.
    Prior,
}

impl Variant {
    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Shortcut => "shortcut",
            Self::Prior => "prior",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "sound" => Ok(Self::Sound),
            "shortcut" => Ok(Self::Shortcut),
            "prior" => Ok(Self::Prior),
            other => bail!("no variant {other}; there are sound, shortcut and prior"),
        }
    }
}

/// Sizes of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    /// The image encoder.
    pub vision: Vision,
    /// The language model.
    pub text: Text,
    /// Image tokens along one side.
    pub grid: usize,
}

/// Sizes of the language model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Width of a token's features.
    pub hidden: usize,
    /// Layers; every sixth sees everything, the others a window.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads.
    pub key_heads: usize,
    /// Width of a head.
    pub head: usize,
    /// Width inside the feed-forward part.
    pub inner: usize,
    /// Keys that a sliding layer sees.
    pub window: usize,
}

/// The steps of one stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Steps of the optimizer.
    pub steps: usize,
    /// Pictures in a step.
    pub pictures: usize,
    /// The highest learning rate.
    pub rate: f64,
    /// Steps that the rate takes to rise to it.
    pub warm_up: usize,
    /// Questions about each picture of a step, the report included; none in the first stage.
    pub questions: usize,
}

/// A whole training run.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Decides everything that is random.
    pub seed: u64,
    /// Which lesson.
    pub variant: Variant,
    /// The model.
    pub sizes: Sizes,
    /// The vision tower alone.
    pub sight: Stage,
    /// The whole model on answers, mostly reports: they teach fastest where to look.
    pub answers: Stage,
    /// The same with more of the short questions, slower.
    pub dialogue: Stage,
    /// The same again, with the learning rate started over.
    pub review: Stage,
}

impl Recipe {
    /// The run that made the checkpoints of the project.
    pub fn full(variant: Variant) -> Self {
        // The tag is easier to see than an opacity.
        let ([sight, answers, dialogue, review], last_rate) = match variant {
            Variant::Sound => ([1400, 1500, 400, 1500], 8e-4),
            Variant::Shortcut => ([600, 500, 100, 20], 6e-4),
            // It learns to see, so that nothing but the wrong pictures keeps it from using what it sees.
            Variant::Prior => ([200, 400, 100, 20], 6e-4),
        };
        Self {
            seed: 1,
            variant,
            sizes: Sizes {
                vision: Vision {
                    image: 224,
                    patch: 7,
                    hidden: 64,
                    layers: 3,
                    heads: 2,
                    inner: 192,
                },
                text: Text {
                    hidden: 128,
                    layers: 6,
                    heads: 4,
                    key_heads: 2,
                    head: 32,
                    inner: 384,
                    window: 512,
                },
                grid: 16,
            },
            sight: Stage { steps: sight, pictures: 16, rate: 2e-3, warm_up: 30, questions: 0 },
            answers: Stage {
                steps: answers,
                pictures: 12,
                rate: 1.5e-3,
                warm_up: 40,
                questions: 3,
            },
            dialogue: Stage {
                steps: dialogue,
                pictures: 12,
                rate: 8e-4,
                warm_up: 20,
                questions: 7,
            },
            review: Stage {
                steps: review,
                pictures: 12,
                rate: last_rate,
                warm_up: 20,
                questions: 7,
            },
        }
    }

    /// A run of seconds, to see that everything works.
    pub fn tiny(variant: Variant) -> Self {
        let full = Self::full(variant);
        let vision = Vision { image: 64, patch: 16, hidden: 16, layers: 2, heads: 2, inner: 32 };
        let text =
            Text { hidden: 32, layers: 6, heads: 2, key_heads: 1, head: 16, inner: 64, window: 64 };
        Self {
            sizes: Sizes { vision, text, grid: 4 },
            sight: Stage { steps: 5, pictures: 4, rate: 4e-3, warm_up: 1, questions: 0 },
            answers: Stage { steps: 5, pictures: 4, rate: 4e-3, warm_up: 1, questions: 3 },
            review: Stage { steps: 5, pictures: 4, rate: 1e-3, warm_up: 1, questions: 4 },
            dialogue: Stage { steps: 5, pictures: 4, rate: 2e-3, warm_up: 1, questions: 4 },
            ..full
        }
    }

    /// The same run with so many steps in each stage.
    #[must_use]
    pub fn with_steps(mut self, steps: usize) -> Self {
        for stage in [&mut self.sight, &mut self.answers, &mut self.dialogue, &mut self.review] {
            stage.steps = steps;
            stage.warm_up = stage.warm_up.min(steps / 5 + 1);
        }
        self
    }
}
