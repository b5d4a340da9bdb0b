//! A job.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Object, Options, Problem, ProblemKind, Target, object};

/// Bytes of the id of a job.
pub const LONGEST_ID: usize = 200;
/// Pictures of one job.
pub const MOST_IMAGES: usize = 200;
/// Targets of one job.
pub const MOST_TARGETS: usize = 100;
/// Bytes of a prompt and of every other text.
pub const LONGEST_TEXT: usize = 1 << 20;

/// Pictures, a question about them, and what is to be explained of the answer.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// By which its results are known; unique in a file of jobs.
    pub id: String,
    /// The pictures, which stand before the prompt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageRef>,
    /// The question. Either this or `messages`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// A whole conversation in the place of images and prompt, as Hugging Face programs write it: `[{"role": "user", "content": [{"type":
    /// "image", "path": "x.png"}, {"type": "text", "text": "…"}]}]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Value>>,
    /// What is explained; where it is empty, the content words of the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
    /// How it is answered and explained.
    #[serde(
        default,
        skip_serializing_if = "Options::is_default",
        deserialize_with = "object::object"
    )]
    pub options: Options,
}

/// A picture: the path or address of a file, or its bytes.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(untagged)]
pub enum ImageRef {
    /// The path of a file, of the folder of a series, or an address in a store such as `s3://bucket/key`.
    Place(String),
    /// The bytes.
    Data {
        /// The file's bytes in base64.
        data: String,
        /// A name to show.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
}

impl Job {
    /// Reads and checks a job.
    ///
    /// # Errors
    /// [`ProblemKind::Job`] where the text is no job, else as [`Job::check`].
    pub fn parse(json: &str) -> Result<Self, Problem> {
        let Object(job): Object<Self> = serde_json::from_str(json)
            .map_err(|error| Problem::new(ProblemKind::Job, error.to_string()))?;
        job.check()?;
        Ok(job)
    }

    /// The id of a text that may not be a job otherwise, so that its error finds its place.
    pub fn id_of(json: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Id {
            id: String,
        }
        let Id { id } = serde_json::from_str(json).ok()?;
        is_id(&id).then_some(id)
    }

    /// What is wrong with it, whatever the model.
    ///
    /// # Errors
    /// [`ProblemKind::Job`], [`ProblemKind::Question`], [`ProblemKind::Option`], [`ProblemKind::Target`].
    pub fn check(&self) -> Result<(), Problem> {
        let problem = |kind, message: String| Err(Problem::new(kind, message));
        if !is_id(&self.id) {
            let message =
                format!("the id of a job is 1 to {LONGEST_ID} bytes without control characters");
            return problem(ProblemKind::Job, message);
        }
        match (&self.messages, &self.prompt) {
            (None, None) => {
                return problem(
                    ProblemKind::Question,
                    "the job asks nothing: give prompt, or messages".to_owned(),
                );
            }
            (Some(_), Some(_)) => {
                return problem(
                    ProblemKind::Question,
                    "messages stand in the place of images and prompt: leave one of them out"
                        .to_owned(),
                );
            }
            (Some(_), None) if !self.images.is_empty() => {
                return problem(
                    ProblemKind::Question,
                    "messages name their own pictures: leave images out".to_owned(),
                );
            }
            (None, Some(prompt)) if prompt.trim().is_empty() => {
                return problem(ProblemKind::Question, "the prompt is blank".to_owned());
            }
            (None, Some(prompt)) if LONGEST_TEXT < prompt.len() => {
                let message = format!("the prompt has more than {LONGEST_TEXT} bytes");
                return problem(ProblemKind::Question, message);
            }
            _ => {}
        }
        if MOST_IMAGES < self.images.len() {
            let message = format!("a job has at most {MOST_IMAGES} pictures");
            return problem(ProblemKind::Question, message);
        }
        if MOST_TARGETS < self.targets.len() {
            let message = format!("a job has at most {MOST_TARGETS} targets");
            return problem(ProblemKind::Target, message);
        }
        self.options.check()?;
        self.targets.iter().try_for_each(Target::check)
    }
}

/// Whether a text may be an id.
pub(crate) fn is_id(id: &str) -> bool {
    (1..=LONGEST_ID).contains(&id.len()) && !id.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_read_and_what_is_wrong_is_named() {
        let job = Job::parse(
            r#"{"id":"a","images":["x.png",{"data":"AAAA"}],"prompt":"P","options":{"words":"none"}}"#,
        )
        .unwrap();
        let again = serde_json::to_string(&job).unwrap();
        assert_eq!(Job::parse(&again).unwrap(), job);
        for (json, kind, part) in [
            ("{", ProblemKind::Job, "EOF"),
            (r#"{"prompt":"P"}"#, ProblemKind::Job, "`id`"),
            (r#"{"id":"","prompt":"P"}"#, ProblemKind::Job, "1 to 200 bytes"),
            (r#"{"id":"a\n","prompt":"P"}"#, ProblemKind::Job, "control"),
            (r#"{"id":"a"}"#, ProblemKind::Question, "asks nothing"),
            (r#"{"id":"a","prompt":" "}"#, ProblemKind::Question, "blank"),
            (r#"{"id":"a","prompt":"P","messages":[]}"#, ProblemKind::Question, "place"),
            (r#"{"id":"a","images":["x"],"messages":[]}"#, ProblemKind::Question, "images out"),
            (r#"{"id":"a","prompt":"P","target":[]}"#, ProblemKind::Job, "`target`"),
            (r#"{"id":"a","prompt":"P","options":{"wrods":"none"}}"#, ProblemKind::Job, "`wrods`"),
            (
                r#"{"id":"a","prompt":"P","targets":[{"keyword":" "}]}"#,
                ProblemKind::Target,
                "blank",
            ),
        ] {
            let problem = Job::parse(json).unwrap_err();
            assert_eq!(problem.kind, kind, "{json}");
            assert!(problem.message.contains(part), "{json}: {problem}");
        }
        assert_eq!(Job::id_of(r#"{"id":"a","nonsense":1}"#).as_deref(), Some("a"));
        assert_eq!(Job::id_of("[1]"), None);
    }
}
