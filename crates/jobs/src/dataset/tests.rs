//! Tests of the data set.

use std::collections::BTreeMap;

use super::*;
use crate::{AnswerText, CertificateRow, ImageMap, Row, RowKind, Run};

fn header() -> Header {
    Header {
        program: "explainer 1".to_owned(),
        model: "m".to_owned(),
        model_sha256: vec!["ab".to_owned()],
        settings: Value::from(1),
    }
}

fn map(rows: usize, columns: usize, seed: usize) -> ImageMap {
    // Numbers whose decimal form is long, so that a journal that rounds is noticed.
    let values = (0..rows * columns).map(|i| ((i + seed) as f32 / 7.0).sin());
    let region = [0.0, 1.0 / 3.0, 640.0, 480.1];
    ImageMap { picture: seed, region, rows, columns, values: values.collect() }
}

fn row(index: usize, kind: RowKind) -> Row {
    Row {
        index,
        kind,
        asked: "keyword \"opacity\"".to_owned(),
        text: "opacity ü\u{0}<b>".to_owned(),
        positions: vec![300, 301],
        span: Some([3, 10]),
        probability: Some(0.1 + 0.2),
        log_ratio: Some(-0.7),
        image_share: Some(1.0 / 3.0),
        maps: vec![map(2, 3, 0), map(1, 1, 1)],
        text_positions: vec![0, 7],
        text_relevancy: vec![f32::MIN_POSITIVE, -0.1],
        regions: BTreeMap::from([("left".to_owned(), 0.25), ("right".to_owned(), 0.75)]),
        gains: BTreeMap::from([("mean".to_owned(), -1e-300)]),
        depends_on_picture: Some("yes".to_owned()),
        certificate: vec![
            CertificateRow {
                operator: "blur".to_owned(),
                srg: Some(0.2),
                p: Some(0.05),
                ahead: Some(true),
            },
            CertificateRow { operator: "road".to_owned(), srg: None, p: None, ahead: None },
        ],
    }
}

fn bare(index: usize) -> Row {
    Row {
        index,
        kind: RowKind::Missing,
        asked: "keyword \"mass\"".to_owned(),
        text: "the answer has no \"mass\"".to_owned(),
        positions: Vec::new(),
        span: None,
        probability: None,
        log_ratio: None,
        image_share: None,
        maps: Vec::new(),
        text_positions: Vec::new(),
        text_relevancy: Vec::new(),
        regions: BTreeMap::new(),
        gains: BTreeMap::new(),
        depends_on_picture: None,
        certificate: Vec::new(),
    }
}

fn outcome(id: &str) -> Outcome {
    let (text, stop) = ("An opacity.".to_owned(), "it is complete".to_owned());
    let run = Run {
        program: "explainer 1".to_owned(),
        model: "m".to_owned(),
        model_sha256: vec!["ab".to_owned(), "cd".to_owned()],
        pictures_sha256: vec!["ef".to_owned()],
        settings: "{\"words\":\"none\"}".to_owned(),
        notes: vec!["a note".to_owned(), String::new()],
        seconds: 1.0 / 7.0,
    };
    Outcome {
        id: id.to_owned(),
        answer: Some(AnswerText { text, trace: "hm".to_owned(), stop, tokens: Vec::new() }),
        rows: vec![row(0, RowKind::Target), row(1, RowKind::Word), bare(2)],
        run: Some(run),
        problem: None,
    }
}

fn failed(id: &str) -> Outcome {
    let problem = Some(Problem::new(ProblemKind::NotInAnswer, "no such word"));
    Outcome { id: id.to_owned(), answer: None, rows: Vec::new(), run: None, problem }
}

fn answered(id: &str) -> Outcome {
    Outcome { rows: Vec::new(), ..outcome(id) }
}

fn thumbnails() -> Vec<Option<Vec<u8>>> {
    vec![Some(vec![137, 80, 0, 255]), None]
}

const SMALL: Opening = Opening { retry_errors: false, rows_of_a_part: 7 };
const RETRY: Opening = Opening { retry_errors: true, rows_of_a_part: 7 };

fn open(folder: &Path) -> DataSet {
    DataSet::open(folder, &header(), Shard::WHOLE, SMALL).unwrap()
}

/// All rows, by id.
fn sorted(folder: &Path) -> Vec<DataRow> {
    let mut rows: Vec<DataRow> = read(folder).unwrap().map(Result::unwrap).collect();
    rows.sort_by(|a, b| (&a.id, a.index).cmp(&(&b.id, b.index)));
    rows
}

fn expected(outcomes: &[Outcome]) -> Vec<DataRow> {
    let rows = outcomes.iter().flat_map(|outcome| row::rows_of(outcome.clone(), thumbnails()));
    let mut rows: Vec<DataRow> = rows.collect();
    rows.sort_by(|a, b| (&a.id, a.index).cmp(&(&b.id, b.index)));
    rows
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join(RESULTS)).unwrap();
    let mut names: Vec<String> =
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn small_thumbnails(outcome: &Outcome) -> Vec<Option<Vec<u8>>> {
    thumbnails().into_iter().take(outcome.rows.len().max(1)).collect()
}

fn batch() -> Vec<Outcome> {
    let outcome = |i: usize| match i % 5 {
        3 => failed(&format!("job {i}")),
        4 => answered(&format!("job {i}")),
        _ => outcome(&format!("job {i}")),
    };
    (0..12).map(outcome).collect()
}

/// Does what is not done yet of a batch.
fn run(folder: &Path, opening: Opening, batch: &[Outcome]) -> Result<Summary, Problem> {
    let mut set = DataSet::open(folder, &header(), Shard::WHOLE, opening)?;
    for outcome in batch {
        if !set.is_done(&outcome.id) {
            set.add(outcome, &small_thumbnails(outcome))?;
        }
    }
    set.finish()
}

#[test]
fn every_column_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let all = batch();
    let summary = run(folder.path(), SMALL, &all).unwrap();
    assert_eq!(sorted(folder.path()), expected(&all));
    assert_eq!(summary, Summary { rows: 28, jobs: 12, errors: 2 });
    let parts = names(folder.path());
    assert_eq!(parts[0], LOCK);
    assert!(3 < parts.len() && parts[1] == "part-0-of-1-000000.parquet", "{parts:?}");
    // Nothing is left to do, and no part comes for it.
    assert_eq!(run(folder.path(), SMALL, &all).unwrap(), summary);
    assert_eq!(names(folder.path()), parts);
    // An answer with rows and a problem keeps both.
    let partial = Outcome { problem: failed("x").problem, ..outcome("x") };
    let kinds: Vec<DataKind> =
        row::rows_of(partial, Vec::new()).iter().map(|row| row.kind).collect();
    assert_eq!(kinds, [DataKind::Target, DataKind::Word, DataKind::Missing, DataKind::Error]);
}

#[test]
fn the_table_of_the_documentation_has_every_column() {
    let table = include_str!("columns.md");
    let mut told: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once(" | "))
        .flat_map(|(names, _)| names.split([',', '`', ' ']).filter(|name| !name.is_empty()))
        .collect();
    let mut all = columns::NAMES.to_vec();
    all.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, all);
    assert!(include_str!("../../README.md").contains(table), "the README has the same table");
}

/// A process that ends at its n-th step, for every n, then another that is not ended, or ends too.
#[test]
fn a_kill_at_any_step_loses_nothing_and_repeats_nothing() {
    let all = batch();
    let mut ended = 0;
    for steps in 0.. {
        let folder = tempfile::tempdir().unwrap();
        disk::fault::after(steps);
        let first = run(folder.path(), SMALL, &all);
        if !disk::fault::clear() {
            first.unwrap();
            break;
        }
        ended += 1;
        // The next one ends as well, early: while it tidies up.
        disk::fault::after(steps % 11);
        let _second = run(folder.path(), SMALL, &all);
        disk::fault::clear();
        run(folder.path(), SMALL, &all).unwrap();
        assert_eq!(sorted(folder.path()), expected(&all), "ended at step {steps}");
        assert!(
            names(folder.path()).iter().all(|name| name == LOCK || name.starts_with("part-")),
            "{:?}",
            names(folder.path())
        );
    }
    assert!(60 < ended, "{ended}");
}

#[test]
fn a_kill_while_errors_are_taken_out_loses_nothing() {
    let all = batch();
    let better: Vec<Outcome> = all
        .iter()
        .map(|it| if it.problem.is_some() { outcome(&it.id) } else { it.clone() })
        .collect();
    for steps in 0.. {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), SMALL, &all).unwrap();
        assert_eq!(run(folder.path(), SMALL, &better).unwrap().errors, 2, "errors stay");
        disk::fault::after(steps);
        let retried = run(folder.path(), RETRY, &better);
        disk::fault::clear();
        let ended = retried.is_err();
        if ended {
            run(folder.path(), RETRY, &better).unwrap();
        }
        assert_eq!(sorted(folder.path()), expected(&better), "ended at step {steps}");
        if !ended {
            break;
        }
    }
}

#[test]
fn a_write_that_fails_can_be_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut set = open(folder.path());
    set.add(&outcome("a"), &[]).unwrap();
    disk::fault::after(1);
    assert_eq!(set.add(&outcome("b"), &[]).unwrap_err().kind, ProblemKind::File);
    disk::fault::clear();
    assert!(!set.is_done("b"));
    set.add(&outcome("b"), &[]).unwrap();
    set.finish().unwrap();
    let ids: Vec<String> = sorted(folder.path()).into_iter().map(|row| row.id).collect();
    assert_eq!(ids, ["a", "a", "a", "b", "b", "b"]);
}

#[test]
fn shards_share_a_folder_and_another_division_takes_it_up() {
    let folder = tempfile::tempdir().unwrap();
    let all = batch();
    let shards: Vec<Shard> = (0..2).map(|i| Shard::new(i, 2).unwrap()).collect();
    let open = |shard| DataSet::open(folder.path(), &header(), shard, Opening::default());
    let mut sets: Vec<DataSet> = shards.iter().map(|shard| open(*shard).unwrap()).collect();
    assert_eq!(open(shards[0]).unwrap_err().kind, ProblemKind::Busy, "the same shard");
    assert_eq!(open(Shard::WHOLE).unwrap_err().kind, ProblemKind::Busy, "another division");
    for (shard, set) in shards.iter().zip(&mut sets) {
        for outcome in all.iter().filter(|it| shard.has(&it.id)).take(3) {
            set.add(outcome, &small_thumbnails(outcome)).unwrap();
        }
    }
    let foreign = all.iter().find(|it| !shards[0].has(&it.id)).unwrap();
    assert!(sets[0].add(foreign, &[]).unwrap_err().message.contains("shard 0/2"));
    // Both end without finishing.
    drop(sets);
    assert_eq!(sorted(folder.path()).len(), 0, "all is in the journals");
    let set = open(Shard::new(1, 3).unwrap()).unwrap();
    assert!(all.iter().filter(|it| set.is_done(&it.id)).count() == 6);
    drop(set);
    run(folder.path(), SMALL, &all).unwrap();
    assert_eq!(sorted(folder.path()), expected(&all));
    let left = names(folder.path());
    assert!(left.iter().all(|name| name == LOCK || name.starts_with("part-")), "{left:?}");
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join(RESULTS);
    fs::create_dir(&results).unwrap();
    let open = || DataSet::open(folder.path(), &header(), Shard::WHOLE, SMALL).unwrap_err();
    fs::write(results.join("part-0-of-1-000000.parquet"), "mine").unwrap();
    assert!(open().message.contains("choose another folder"));
    assert_eq!(names(folder.path()), ["part-0-of-1-000000.parquet"]);
    assert!(read(folder.path()).is_err());
    fs::remove_file(results.join("part-0-of-1-000000.parquet")).unwrap();
    fs::write(folder.path().join(store::HEADER), "{\"my\": \"batch\"}").unwrap();
    assert!(open().message.contains("not of this program"));
    let text = fs::read_to_string(folder.path().join(store::HEADER)).unwrap();
    assert_eq!(text, "{\"my\": \"batch\"}");
}

#[test]
fn a_data_set_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), SMALL, &batch()).unwrap();
    for (other, what) in [
        (Header { program: "explainer 2".to_owned(), ..header() }, "another version"),
        (Header { model_sha256: Vec::new(), ..header() }, "another model"),
        (Header { settings: Value::Null, ..header() }, "other settings"),
    ] {
        let problem = DataSet::open(folder.path(), &other, Shard::WHOLE, SMALL).unwrap_err();
        assert!(
            problem.message.contains(what) && problem.message.contains("another folder"),
            "{problem}"
        );
    }
    let moved = Header { model: "elsewhere".to_owned(), ..header() };
    DataSet::open(folder.path(), &moved, Shard::WHOLE, SMALL).unwrap();
}

#[test]
fn hostile_journals_are_refused_and_torn_ones_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    let mut set = open(folder.path());
    set.add(&outcome("a"), &[]).unwrap();
    let path = set.journal.path.clone();
    drop(set);
    let good = fs::read(&path).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    let other = text.replacen("\"id\":\"a\"", "\"id\":\"b\"", 1);
    let hostile = [
        "nonsense\n".to_owned(),
        "{}\n".to_owned(),
        other.replacen("\"b\"", "\"b\\n\"", 1),
        other.replacen("\"rows\":2,\"columns\":3", "\"rows\":3,\"columns\":3", 1),
        other.replacen("\"rows\":2,", "\"rows\":18446744073709551615,", 1),
        other.replacen("{\"outcome\"", "{\"thumbnails\":[\"*\"],\"outcome\"", 1),
        other.replacen("\"image_share\":0.3", "\"image_share\":1e999", 1),
        format!("{}\n", "[".repeat(100_000)),
    ];
    for line in hostile {
        assert!(line != text && line != other);
        let both = text.clone() + &line;
        fs::write(&path, &both).unwrap();
        let problem = DataSet::open(folder.path(), &header(), Shard::WHOLE, SMALL).unwrap_err();
        let part = line.get(..80).unwrap_or(&line);
        assert!(problem.message.contains("line 2"), "{part}: {problem}");
        assert_eq!(fs::read_to_string(&path).unwrap(), both, "it is left as it is");
    }
    // The same job twice, then a torn line with what a disk may leave of it.
    let torn = [good.as_slice(), &good, &good[..good.len() / 2], &[0; 100]].concat();
    fs::write(&path, torn).unwrap();
    let mut set = open(folder.path());
    assert_eq!(set.summary(), Summary { rows: 3, jobs: 1, errors: 0 });
    set.add(&outcome("b"), &[]).unwrap();
    set.finish().unwrap();
    assert_eq!(sorted(folder.path()).len(), 6);
}

#[test]
fn what_no_column_can_hold_becomes_an_error_of_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let mut set = open(folder.path());
    let change = |id: &str, change: fn(&mut Row)| {
        let mut outcome = outcome(id);
        change(&mut outcome.rows[1]);
        outcome
    };
    let bad = [
        change("a", |row| row.maps[0].values[3] = f32::NAN),
        change("b", |row| row.probability = Some(f64::INFINITY)),
        change("c", |row| row.maps[0].rows = 9),
        change("d", |row| row.text_relevancy.clear()),
        change("e", |row| row.positions[0] = usize::MAX),
        Outcome { answer: None, rows: Vec::new(), ..outcome("f") },
    ];
    for outcome in &bad {
        set.add(outcome, &[]).unwrap();
    }
    assert_eq!(set.finish().unwrap(), Summary { rows: 6, jobs: 6, errors: 6 });
    let found = sorted(folder.path());
    let message = |at: usize| found[at].problem.as_ref().unwrap().message.clone();
    for (at, column) in
        ["maps", "probability", "maps", "text_relevancy", "positions"].into_iter().enumerate()
    {
        assert!(message(at).contains(column), "{}", message(at));
        assert!(found[at].run.is_some());
    }
}

#[test]
fn misuse_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut set = open(folder.path());
    set.add(&outcome("a"), &[]).unwrap();
    assert!(set.add(&outcome("a"), &[]).unwrap_err().message.contains("already"));
    assert!(set.add(&outcome(""), &[]).is_err());
    assert!(set.add(&outcome("b"), &vec![None; 4]).is_err());
    assert!(set.add(&outcome("b"), &[Some(vec![0; LARGEST_THUMBNAIL + 1])]).is_err());
    set.add(&outcome("b"), &[]).unwrap();
}

#[test]
fn parts_that_are_broken_or_doubled_are_named() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), SMALL, &batch()).unwrap();
    let part = |number: u64| folder.path().join(RESULTS).join(part_name(Shard::WHOLE, number));
    let whole = fs::read(part(0)).unwrap();
    let open = || DataSet::open(folder.path(), &header(), Shard::WHOLE, SMALL);
    fs::write(part(77), &whole).unwrap();
    assert!(open().unwrap_err().message.contains("another part: remove one"));
    for bytes in [&whole[..whole.len() / 2], b"", b"PAR1PAR1"] {
        fs::write(part(77), bytes).unwrap();
        assert!(open().unwrap_err().message.contains("000077"));
        assert!(read(folder.path()).unwrap().any(|row| row.is_err()));
    }
    // Any byte may be another: an error, or other numbers, but no panic and no endless work.
    for at in (0..whole.len()).step_by(whole.len() / 400) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        fs::write(part(77), bytes).unwrap();
        let _either = Flats::of_part(
            &Folder::new(folder.path(), Shard::WHOLE),
            &part_name(Shard::WHOLE, 77),
            |_| true,
        );
    }
    fs::remove_file(part(77)).unwrap();
    open().unwrap();
}

#[test]
fn lists_are_told_from_what_is_in_them() {
    let flat = |maps: &[&[f32]], certificate_p: &[Option<f64>], notes: &[&str]| Flat {
        maps: maps.iter().map(|map| map.to_vec()).collect(),
        certificate_p: certificate_p.to_vec(),
        notes: notes.iter().map(|note| (*note).to_owned()).collect(),
        ..Flat::default()
    };
    let rows = [
        flat(&[], &[], &[]),
        flat(&[&[]], &[None], &[""]),
        flat(&[&[], &[]], &[None, None], &["", ""]),
        flat(&[&[1.0, 2.0], &[], &[3.0]], &[Some(1.0), None], &["a"]),
        flat(&[&[], &[4.0]], &[None, Some(2.0)], &[]),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part");
    fs::write(&path, write_part(&rows).unwrap()).unwrap();
    let part = columns::Part::open(File::open(&path).unwrap()).unwrap();
    assert_eq!(part.rows(0, &|_| true).unwrap(), rows);
    let some = part.rows(0, &|name| name == "notes").unwrap();
    assert_eq!(some[2].notes, ["", ""]);
    assert!(some[2].maps.is_empty());
    // Row groups have an end.
    let many = vec![rows[3].clone(); 50_001];
    fs::write(&path, write_part(&many).unwrap()).unwrap();
    let part = columns::Part::open(File::open(&path).unwrap()).unwrap();
    assert_eq!(part.n_groups(), 2);
    assert_eq!(part.rows(1, &|_| true).unwrap(), many[..1]);
}
