//! Cases as a file of lines has them.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;

/// A picture with a question, and what is known of it: one line of a file of cases, as a JSON object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it is called in results; no two are alike.
    pub id: String,
    /// The file of its picture, or a list of files; relative to the file of cases.
    pub image: Files,
    /// What is asked.
    pub question: String,
    /// A system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The right answer, or what a right answer affirms: `"Yes"`, `"left"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The word or phrase of the answer that is looked at. Without it "yes" or "no", where the answer begins so, the label, where the answer
    /// has it, or the word that the picture adds most to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<String>,
    /// A word that it is set against in the map: the gradient is that of the difference of their logits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// Boxes `[x0, y0, x1, y1]` in pixels of the picture around all that is relevant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boxes: Vec<[f64; 4]>,
    /// A picture of the same size whose pixels are black where nothing is relevant, in the place of boxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<PathBuf>,
    /// Which of several pictures boxes or mask belong to, counted from 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub picture: usize,
    /// Cases of one patient are not independent; without it each case is a patient of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<String>,
    /// What the picture shows. Cases with another label lend their pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Results are also given for each group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// One file or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Files {
    /// One.
    One(PathBuf),
    /// Several, in the order in which they are shown.
    Several(Vec<PathBuf>),
}

impl Default for Files {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Files {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Path> {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Several(paths) => paths,
        }
        .iter()
        .map(PathBuf::as_path)
    }
}

/// A line that is no case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadCase {
    /// What it is called in results: its id where it has one, otherwise `line 7`.
    pub id: String,
    /// What is wrong, for people.
    pub reason: String,
}

/// All cases of a file, in order.
#[derive(Debug, Clone, Default)]
pub struct Cases {
    /// Each line that is not blank.
    pub lines: Vec<Result<Case, BadCase>>,
}

/// Bytes of one line.
const LONGEST_LINE: usize = 1 << 20;
/// Cases of one file.
const MOST_CASES: usize = 1_000_000;
/// Pictures of one case.
const MOST_PICTURES: usize = 64;
/// Boxes of one case.
const MOST_BOXES: usize = 1000;
/// Bytes of an id.
const LONGEST_ID: usize = 256;

impl Cases {
    /// Reads a file of lines of JSON. A line that is no case is kept as such; blank lines are skipped.
    ///
    /// # Errors
    /// [`Error::Read`] for a file that cannot be read, [`Error::NoCases`] for one without a case, [`Error::TooManyCases`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Read { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(std::io::Error::other("it is no regular file")));
        }
        let (mut reader, mut found) = (BufReader::new(file), Self::default());
        let mut known = HashSet::new();
        for number in 1.. {
            let mut line = Vec::new();
            let limit = LONGEST_LINE as u64 + 1;
            let length =
                reader.by_ref().take(limit).read_until(b'\n', &mut line).map_err(failed)?;
            if length == 0 {
                break;
            }
            let too_long = LONGEST_LINE < length;
            if too_long {
                skip_line(&mut reader).map_err(failed)?;
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if found.lines.len() == MOST_CASES {
                return Err(Error::TooManyCases { path: path.to_owned(), most: MOST_CASES });
            }
            let bad = |reason: String| BadCase { id: format!("line {number}"), reason };
            let case = if too_long {
                Err(bad(format!("more than {LONGEST_LINE} bytes in one line")))
            } else {
                parse(&line).map_err(bad)
            };
            found.lines.push(case.and_then(|case| {
                if known.insert(case.id.clone()) {
                    Ok(case)
                } else {
                    Err(bad(format!("the id {:?} is that of an earlier line", case.id)))
                }
            }));
        }
        if found.lines.is_empty() {
            return Err(Error::NoCases { path: path.to_owned() });
        }
        Ok(found)
    }

    /// Writes cases as lines of JSON.
    ///
    /// # Panics
    /// Never: a case is made of texts and finite numbers.
    pub fn to_lines(cases: &[Case]) -> String {
        let line = |case: &Case| serde_json::to_string(case).expect("texts and numbers") + "\n";
        cases.iter().map(line).collect()
    }

    /// For each case the number of its patient; one without a patient is one of its own. Numbers say nothing of names.
    pub fn patients(&self) -> Vec<u64> {
        let mut known: BTreeMap<&str, u64> = BTreeMap::new();
        let mut count = 0;
        let mut numbers = Vec::with_capacity(self.lines.len());
        for line in &self.lines {
            let mut fresh = || {
                count += 1;
                count - 1
            };
            numbers.push(match patient(line) {
                Some(patient) => *known.entry(patient).or_insert_with(fresh),
                None => fresh(),
            });
        }
        numbers
    }

    /// The case whose pictures stand in for those of case `index`: of another patient, with as many pictures, and the same label or another
    /// one. The next after it, so that each lends about as often.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub fn other(&self, index: usize, same_label: bool) -> Result<usize, String> {
        let patients = self.patients();
        self.other_of(&patients, index, same_label)
    }

    /// As [`other`](Self::other), with the numbers of [`patients`](Self::patients) at hand.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub fn other_of(
        &self,
        patients: &[u64],
        index: usize,
        same_label: bool,
    ) -> Result<usize, String> {
        let Some(Ok(case)) = self.lines.get(index) else {
            return Err("it is no case".to_owned());
        };
        let Some(label) = &case.label else {
            return Err("the case has no label".to_owned());
        };
        let count = self.lines.len();
        let fits = |at: &usize| {
            self.lines[*at].as_ref().is_ok_and(|other| {
                patients[*at] != patients[index]
                    && other.image.iter().count() == case.image.iter().count()
                    && other.label.as_ref().is_some_and(|it| (it == label) == same_label)
            })
        };
        let found = (1..count).map(|step| (index + step) % count).find(fits);
        let which = if same_label { "the same label" } else { "another label" };
        found.ok_or_else(|| format!("no other patient's case has {which}"))
    }
}

fn patient(line: &Result<Case, BadCase>) -> Option<&str> {
    line.as_ref().ok()?.patient.as_deref()
}

/// Reads on to the end of a line.
fn skip_line(reader: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let part = reader.fill_buf()?;
        let (end, length) = match part.iter().position(|byte| *byte == b'\n') {
            Some(at) => (true, at + 1),
            None => (part.is_empty(), part.len()),
        };
        reader.consume(length);
        if end {
            return Ok(());
        }
    }
}

fn parse(line: &[u8]) -> Result<Case, String> {
    let case: Case = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    check(&case)?;
    Ok(case)
}

/// What is wrong with a case that was read or made, for people.
pub(crate) fn check(case: &Case) -> Result<(), String> {
    let blank = |text: &Option<String>| text.as_ref().is_some_and(|text| text.trim().is_empty());
    let texts = [
        ("answer", &case.answer),
        ("word", &case.word),
        ("against", &case.against),
        ("system", &case.system),
        ("label", &case.label),
    ];
    if let Some((name, _)) = texts.into_iter().find(|(_, text)| blank(text)) {
        return Err(format!("`{name}` is blank: leave it out, or write something"));
    }
    if case.id.trim().is_empty() || LONGEST_ID < case.id.len() {
        return Err(format!("`id` must have 1 to {LONGEST_ID} bytes"));
    }
    if case.question.trim().is_empty() {
        return Err("`question` is blank".to_owned());
    }
    let pictures = case.image.iter().count();
    if !(1..=MOST_PICTURES).contains(&pictures) {
        return Err(format!(
            "`image` must name 1 to {MOST_PICTURES} pictures, and names {pictures}"
        ));
    }
    if pictures <= case.picture {
        return Err(format!(
            "`picture` is {}, and there are {pictures}, counted from 0",
            case.picture
        ));
    }
    if MOST_BOXES < case.boxes.len() {
        return Err(format!("{} boxes; {MOST_BOXES} are allowed", case.boxes.len()));
    }
    if !case.boxes.is_empty() && case.mask.is_some() {
        return Err("`boxes` and `mask`: give one of them".to_owned());
    }
    let is_box = |[x0, y0, x1, y1]: &[f64; 4]| {
        [x0, y0, x1, y1].into_iter().all(|side| side.is_finite()) && x0 < x1 && y0 < y1
    };
    match case.boxes.iter().find(|sides| !is_box(sides)) {
        Some(sides) => {
            Err(format!("the box {sides:?} is none: [x0, y0, x1, y1] with x0 < x1 and y0 < y1"))
        }
        None => Ok(()),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Cases, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cases.jsonl");
        std::fs::write(&path, text).unwrap();
        Cases::read(&path)
    }

    fn reasons(text: &[u8]) -> Vec<String> {
        let lines = read(text).unwrap().lines;
        lines.into_iter().map(|line| line.err().map_or(String::new(), |bad| bad.reason)).collect()
    }

    #[test]
    fn a_line_is_a_case() {
        let text = br#"{"id": "a", "image": "a.png", "question": "Is there an opacity?", "answer": "Yes", "boxes": [[1, 2, 3, 4]], "patient": "p", "label": "opacity"}

{"id": "b", "image": ["a.png", "b.png"], "question": "What changed?", "picture": 1, "mask": "m.png"}"#;
        let found = read(text).unwrap();
        let cases: Vec<Case> = found.lines.into_iter().map(Result::unwrap).collect();
        assert_eq!(cases[0].boxes, [[1.0, 2.0, 3.0, 4.0]]);
        assert_eq!(cases[1].image.iter().count(), 2);
        let again = read(Cases::to_lines(&cases).as_bytes()).unwrap();
        assert_eq!(again.lines.into_iter().map(Result::unwrap).collect::<Vec<_>>(), cases);
    }

    #[test]
    fn a_bad_line_is_told_and_the_others_stand() {
        let long = format!("{{\"id\": \"{}\"}}\n", "x".repeat(LONGEST_LINE));
        let head = r#""image": "a.png", "question": "q""#;
        let lines = [
            format!(r#"{{"id": "a", {head}}}"#),
            "{".to_owned(),
            format!(r#"{{"id": "a", {head}}}"#),
            format!(r#"{{"id": "b", {head}, "boxs": []}}"#),
            format!(r#"{{"id": "c", {head}, "boxes": [[3, 0, 1, 1]]}}"#),
            format!(r#"{{"id": "d", {head}, "boxes": [[0, 0, 1, 1]], "mask": "m"}}"#),
            format!(r#"{{"id": "e", {head}, "picture": 1}}"#),
            format!(r#"{{"id": "f", {head}, "word": " "}}"#),
            r#"{"id": "g", "image": [], "question": "q"}"#.to_owned(),
        ];
        let text = long + &lines.join("\n");
        let found = reasons(text.as_bytes());
        let expected = [
            "bytes in one line",
            "",
            "EOF",
            "earlier line",
            "boxs",
            "is none",
            "one of them",
            "counted from 0",
            "`word` is blank",
            "names 0",
        ];
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found:?} and {expected:?}");
        }
        assert!(reasons(&[0xff, 0xfe, b'\n'])[0].contains("line 1"));
    }

    #[test]
    fn a_file_without_cases_is_an_error() {
        assert!(matches!(read(b"\n \n"), Err(Error::NoCases { .. })));
        assert!(matches!(Cases::read(Path::new("/nowhere")), Err(Error::Read { .. })));
        assert!(matches!(Cases::read(Path::new("/dev")), Err(Error::Read { .. })));
    }

    #[test]
    fn another_patient_lends_a_picture() {
        let case = |patient: &str, label: &str| {
            Ok(Case {
                image: Files::One("a.png".into()),
                patient: (!patient.is_empty()).then(|| patient.to_owned()),
                label: (!label.is_empty()).then(|| label.to_owned()),
                ..Case::default()
            })
        };
        let cases = Cases {
            lines: vec![
                case("p", "x"),
                case("p", "y"),
                case("q", "x"),
                case("", "y"),
                case("", ""),
            ],
        };
        assert_eq!(cases.patients(), [0, 0, 1, 2, 3]);
        assert_eq!((cases.other(0, true), cases.other(0, false)), (Ok(2), Ok(3)));
        assert_eq!(cases.other(3, true), Ok(1));
        assert!(cases.other(4, true).unwrap_err().contains("no label"));
        assert!(cases.other(9, true).is_err());
    }
}
