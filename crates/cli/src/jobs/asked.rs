//! A job as plain data becomes a task: its options go to the sections that know them, its pictures to the reader.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use explanation_jobs::{
    All, ImageRef, Job, MOST_IMAGES, Occurrence, Options, Place, Problem, ProblemKind, Target,
};
use medgemma_explainer::Ask;
use medgemma_explainer::medical::is_medical;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Spool, kind_of};
use crate::args::{GenerationArgs, PictureArgs};
use crate::asked::Posed;
use crate::certificate::CertificateArgs;
use crate::job::Task;
use crate::method_args::HowArgs;
use crate::output::reasons;
use crate::presentation::PresentationArgs;
use crate::reliance::RelianceArgs;
use crate::targets::TargetArgs;
use crate::versus::Pair;

/// Folders that the paths of a job are relative to: the first that has the file.
#[derive(Clone, Debug)]
pub(crate) struct Folders(pub(crate) Vec<PathBuf>);

/// A task with its pictures read.
#[derive(Debug)]
pub(crate) struct Posing {
    pub(crate) task: Task,
    pub(crate) posed: Posed,
    /// Holds pictures that came as bytes for as long as results may be written back to them.
    pub(crate) material: Material,
}

impl Posing {
    /// Reads a job: its options in the place of `defaults`, its pictures. No model is needed.
    ///
    /// # Errors
    /// What is wrong with options, targets, question and pictures.
    pub(crate) fn new(
        job: &Job,
        defaults: &PictureArgs,
        folders: &Folders,
    ) -> Result<Self, Problem> {
        job.check()?;
        let mut material = Material::default();
        let conversation = conversation(job, folders, &mut material)?;
        let task = task(&job.options, &job.targets, (defaults, conversation))?;
        Self::read(task, material)
    }

    /// Reads the pictures of a task.
    pub(crate) fn read(task: Task, material: Material) -> Result<Self, Problem> {
        let option = |error: anyhow::Error| of_kind(&error, ProblemKind::Option);
        task.certificate.check().map_err(option)?;
        let posed = task.conversation.posed(&task.pictures.reader());
        let mut posed = posed.map_err(|error| of_kind(&error, ProblemKind::Picture))?;
        task.pictures.check_used(&posed.sources).map_err(option)?;
        if MOST_IMAGES < posed.question.pictures.len() {
            let message = format!("a job has at most {MOST_IMAGES} pictures, slices included");
            return Err(Problem::new(ProblemKind::Question, message));
        }
        if posed.question.pictures.is_empty() {
            let idle = task.about_pictures(str::to_owned);
            if !idle.is_empty() {
                let message = format!(
                    "the question has no picture, and {} is about pictures: leave it out, or add images",
                    idle.join(" and ")
                );
                return Err(Problem::new(ProblemKind::Option, message));
            }
        }
        for picture in &mut posed.question.pictures {
            if let Some(name) = material.names.get(Path::new(picture.name())) {
                let provenance = picture.provenance().clone();
                *picture = picture.clone().with_provenance(name.clone(), provenance);
            }
        }
        Ok(Self { task, posed, material })
    }
}

/// Pictures that came as bytes, with the names to show in the place of those that their files have.
#[derive(Debug, Default)]
pub(crate) struct Material {
    names: BTreeMap<PathBuf, String>,
    spool: Option<Spool>,
}

impl Material {
    /// Takes the bytes of a file; where they lie now.
    pub(crate) fn take(&mut self, bytes: &[u8], name: Option<&str>) -> Result<PathBuf, Problem> {
        let put = self.spool()?.put(bytes);
        let path = put.map_err(|error| of_kind(&error, ProblemKind::File))?;
        let shown = name.map(file_name).filter(|name| !name.is_empty());
        let shown = shown.unwrap_or_else(|| format!("picture {}", self.names.len() + 1));
        self.names.insert(path.clone(), shown);
        Ok(path)
    }

    fn take_base64(&mut self, text: &str, name: Option<&str>) -> Result<PathBuf, Problem> {
        let bytes = STANDARD.decode(text).map_err(|error| {
            let message = format!("the data of a picture is no base64: {error}");
            Problem::new(ProblemKind::Picture, message)
        })?;
        self.take(&bytes, name)
    }

    /// Pictures as a message has them: several files of DICOM are the slices of a series, in one folder.
    pub(crate) fn together(&mut self, paths: Vec<PathBuf>) -> Result<Vec<PathBuf>, Problem> {
        if paths.len() < 2 || !paths.iter().all(|path| is_medical(path)) {
            return Ok(paths);
        }
        let folder = self.spool()?.gather(&paths);
        let folder = folder.map_err(|error| of_kind(&error, ProblemKind::File))?;
        Ok(vec![folder])
    }

    fn spool(&mut self) -> Result<&mut Spool, Problem> {
        match &mut self.spool {
            Some(spool) => Ok(spool),
            none => {
                let made = Spool::new().map_err(|error| of_kind(&error, ProblemKind::File))?;
                Ok(none.insert(made))
            }
        }
    }
}

/// An error as a problem: of the kind that the library says, or of this one.
pub(crate) fn of_kind(error: &anyhow::Error, kind: ProblemKind) -> Problem {
    Problem::new(kind_of(error).unwrap_or(kind), reasons(error))
}

/// Where a section stands in a task, and its fields.
type Section = (&'static [&'static str], Map<String, Value>);

/// The sections of a task that options of a job belong to.
fn sections() -> Result<Vec<Section>, Problem> {
    fn fields(section: &impl Serialize) -> Result<Map<String, Value>, Problem> {
        match serde_json::to_value(section) {
            Ok(Value::Object(fields)) => Ok(fields),
            _ => Err(Problem::new(ProblemKind::Internal, "options are no object")),
        }
    }
    let compared = match fields(&HowArgs::default())?.get("compared") {
        Some(Value::Object(compared)) => compared.clone(),
        _ => Map::new(),
    };
    Ok(vec![
        (&["how"], fields(&HowArgs::default())?),
        (&["how", "compared"], compared),
        (&["targets"], fields(&TargetArgs::default())?),
        (&["reliance"], fields(&RelianceArgs::default())?),
        (&["certificate"], fields(&CertificateArgs::default())?),
        (&["shown"], fields(&PresentationArgs::default())?),
        (&["pictures"], fields(&PictureArgs::default())?),
        (&["answer", "generated"], fields(&GenerationArgs::default())?),
    ])
}

/// The task of options and targets, about a conversation as a task has it.
pub(crate) fn task(
    asked: &Options,
    targets: &[Target],
    (defaults, conversation): (&PictureArgs, Value),
) -> Result<Task, Problem> {
    let refused = |message: String| Problem::new(ProblemKind::Option, message);
    let options = serde_json::to_value(asked).map_err(|error| refused(error.to_string()))?;
    let pictures = serde_json::to_value(defaults).map_err(|error| refused(error.to_string()))?;
    let mut task = json!({ "conversation": conversation, "pictures": pictures });
    let sections = sections()?;
    let given = options.as_object().into_iter().flatten();
    for (name, value) in given.filter(|(name, _)| !["answer", "system"].contains(&name.as_str())) {
        let place = sections.iter().find(|(_, fields)| fields.contains_key(name));
        let (path, _) =
            place.ok_or_else(|| refused(format!("the option {name:?} is unknown here")))?;
        let mut section = &mut task;
        for part in *path {
            section = &mut section[*part];
            if section.is_null() {
                *section = Value::Object(Map::new());
            }
        }
        section[name] = value.clone();
    }
    if let Some(answer) = &asked.answer {
        if !task["answer"].is_null() {
            let message = "the answer is given: leave out max_new_tokens, sample and seed";
            return Err(refused(message.to_owned()));
        }
        task["answer"] = json!({ "given": answer });
    }
    if asked.seed.is_some() && asked.sample != Some(true) {
        return Err(refused("seed is for sample: true".to_owned()));
    }
    if let Some(regions) = &asked.regions {
        // Others are paths, and a job may be anybody's.
        const NAMED: [&str; 4] = ["halves", "quadrants", "grid3x3", "cxr"];
        if !NAMED.contains(&regions.as_str()) {
            return Err(refused(format!("regions is one of {}", NAMED.join(", "))));
        }
    }
    let mut task: Task =
        serde_json::from_value(task).map_err(|error| refused(error.to_string()))?;
    for target in targets {
        match target {
            Target::Phrase { phrase, against } => task.versus.push(Pair {
                phrase: Ask::Keyword { word: phrase.clone(), occurrence: 0 },
                against: against.clone(),
            }),
            target => task.targets.push(ask(target)),
        }
    }
    match task.problem(str::to_owned) {
        Some(problem) => Err(refused(problem.message)),
        None => Ok(task),
    }
}

/// What a target asks for; phrases against others are no asks.
fn ask(target: &Target) -> Ask {
    match target.clone() {
        Target::Keyword { keyword: word, occurrence } => match occurrence {
            None => Ask::Keyword { word, occurrence: 0 },
            Some(Occurrence::Number(number)) => {
                Ask::Keyword { word, occurrence: number.saturating_sub(1) }
            }
            Some(Occurrence::Every(All::All)) => Ask::Every { word },
        },
        Target::Substring { substring: text } => Ask::Substring { text, occurrence: 0 },
        Target::Position { position } => Ask::Position(position),
        Target::Tokens { tokens: [start, end] } => Ask::Tokens(start..end),
        Target::Sentence { sentence } => Ask::Sentence(sentence.saturating_sub(1)),
        Target::Characters { characters: [start, end] } => Ask::Characters(start..end),
        Target::Field { field } => Ask::Field(field),
        Target::AnswerSpan { .. } => Ask::Answer,
        Target::Phrase { phrase: word, .. } => Ask::Keyword { word, occurrence: 0 },
    }
}

/// The conversation of a job as a task has it, with pictures as paths.
fn conversation(job: &Job, folders: &Folders, material: &mut Material) -> Result<Value, Problem> {
    if let Some(turns) = &job.messages {
        if job.options.system.is_some() {
            let message = "the option system is for a prompt; messages have a turn of the system's";
            return Err(Problem::new(ProblemKind::Option, message));
        }
        return turns_of(turns, folders, material);
    }
    let mut path = |image: &ImageRef| match image {
        ImageRef::Place(place) => found(place, folders, material),
        ImageRef::Data { data, name } => material.take_base64(data, name.as_deref()),
    };
    let mut paths = job.images.iter().map(&mut path).collect::<Result<Vec<_>, _>>()?;
    if job.images.iter().all(|image| matches!(image, ImageRef::Data { .. })) {
        paths = material.together(paths)?;
    }
    let prompt = job.prompt.as_deref().unwrap_or_default();
    Ok(message(&paths, prompt, job.options.system.as_deref()))
}

/// One message of the user's: pictures, then a prompt.
pub(crate) fn message(paths: &[PathBuf], prompt: &str, system: Option<&str>) -> Value {
    let mut content: Vec<Value> = paths.iter().map(|path| json!({ "image": path })).collect();
    content.push(json!({ "text": prompt }));
    json!({ "message": { "system": system, "content": content } })
}

/// A conversation whose pictures are paths, from one where some are bytes.
fn turns_of(turns: &[Value], folders: &Folders, material: &mut Material) -> Result<Value, Problem> {
    let mut turns = turns.to_vec();
    let contents = turns.iter_mut().filter_map(|turn| turn.get_mut("content")?.as_array_mut());
    for item in contents.flatten() {
        let Some(item) = item.as_object_mut() else { continue };
        if let Some(data) = item.remove("data") {
            let Some(text) = data.as_str() else {
                let message = "the data of a picture is a text in base64";
                return Err(Problem::new(ProblemKind::Picture, message));
            };
            let name = item.remove("name");
            let path = material.take_base64(text, name.as_ref().and_then(Value::as_str))?;
            item.insert("path".to_owned(), json!(path));
        }
    }
    let folder = folders.0.first().cloned().unwrap_or_default();
    Ok(json!({ "turns": { "turns": turns, "folder": folder } }))
}

/// The last part of a path of somebody else's, which may have either kind of separator.
fn file_name(path: &str) -> String {
    path.rsplit(['/', '\\']).next().unwrap_or_default().to_owned()
}

/// Where a picture lies: in the first of the folders that has it, or where it was put when it came from a store.
#[cfg_attr(
    not(feature = "cloud"),
    expect(unused_variables, reason = "only what is fetched is material")
)]
fn found(place: &str, folders: &Folders, material: &mut Material) -> Result<PathBuf, Problem> {
    let parsed: Result<Place, Problem> = place.parse();
    match parsed.map_err(|problem| Problem { kind: ProblemKind::Picture, ..problem })? {
        Place::Local(path) => {
            let places = || folders.0.iter().map(|folder| folder.join(&path));
            let there = places().find(|path| path.exists());
            Ok(there.or_else(|| places().next()).unwrap_or(path))
        }
        #[cfg(feature = "cloud")]
        Place::Remote(address) => {
            let cloud = crate::stores::cloud()?;
            let bytes = cloud.read(&address, explanation_jobs::cloud::LARGEST_PICTURE)?;
            material.take(&bytes, Some(place))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The task of some options, about a picture and a word.
    fn of(options: Value) -> Result<Task, Problem> {
        let options: Options = serde_json::from_value(options).unwrap();
        let targets = [Target::Keyword { keyword: "a".to_owned(), occurrence: None }];
        let about = message(&[PathBuf::from("a.png")], "Describe.", None);
        task(&options, &targets, (&PictureArgs::default(), about))
    }

    #[test]
    fn every_value_of_every_option_is_known_to_the_command() {
        let methods = [
            "relevancy",
            "relevancy-additive",
            "relevancy-stochastic",
            "rollout",
            "raw-attention",
            "value-norm",
            "token-attention",
            "object-attention",
            "gradient-attention",
            "legrad",
            "dex-ar",
            "grad-cam",
            "grad-cam-hidden",
            "input-gradient",
            "mean-cell",
            "tam",
            "occlusion-mean-embedding",
            "occlusion-knockout",
        ];
        let lists: [(&str, &[&str]); 4] = [
            ("method", &methods),
            ("record", &["layers", "heads"]),
            ("reliance", &["mean", "blur", "mean-embedding", "knockout"]),
            ("certificate", &["knock-out", "mean-embedding", "blur", "road", "full"]),
        ];
        for (name, values) in lists {
            for value in values {
                of(json!({ name: [value] })).unwrap_or_else(|why| panic!("{name} {value}: {why}"));
            }
        }
        let words: [(&str, &[&str]); 12] = [
            ("words", &["all", "content", "none"]),
            ("span", &["mean", "sum", "reliance"]),
            ("objective", &["contrast", "logit", "log-probability", "log-odds"]),
            ("resolution", &["tokens", "patches", "pixels"]),
            ("contrast", &["left", "runner-up", "alternatives"]),
            ("layers", &["all", "global", "0..2"]),
            ("recipe", &["cxr", "ct-notebook", "ct-server", "mr", "plain"]),
            ("window", &["lung", "-1000,400"]),
            ("slices", &["all", "5", "3,7-12"]),
            ("regions", &["halves", "quadrants", "grid3x3", "cxr"]),
            ("orientation", &["pa", "ap", "flipped", "none"]),
            ("colormap", &["inferno", "viridis", "coolwarm"]),
        ];
        for (name, values) in words {
            for value in values {
                of(json!({ name: value })).unwrap_or_else(|why| panic!("{name} {value}: {why}"));
            }
        }
        for options in [
            json!({ "answer": "a", "system": "s", "frame": 1, "trace": true, "path_points": 2 }),
            json!({ "max_new_tokens": 5, "sample": true, "seed": 7, "blank_control": true }),
            json!({ "certificate": ["blur"], "certificate_controls": 39, "certificate_percent": [10.0], "certificate_seed": 1 }),
        ] {
            of(options).unwrap();
        }
    }

    #[test]
    fn nothing_that_was_asked_is_passed_over() {
        for (options, part) in [
            (json!({ "answer": "a", "max_new_tokens": 5 }), "the answer is given"),
            (json!({ "seed": 1 }), "sample"),
            (json!({ "regions": "my.json" }), "regions is one of"),
            (json!({ "contrast": "b", "objective": "logit" }), "contrast"),
            (json!({ "layers": "9..3" }), ""),
        ] {
            let problem = of(options).unwrap_err();
            assert_eq!(problem.kind, ProblemKind::Option);
            assert!(problem.message.contains(part), "{problem}");
        }
        // Details of a certificate that nobody asked for.
        let task = of(json!({ "certificate_seed": 3 })).unwrap();
        assert!(task.certificate.check().is_err());
    }
}
