//! Pictures, files of jobs and data sets in a store that speaks S3.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use explanation_jobs::cloud::{Address, Cloud, RemoteSet, read_remote};
use explanation_jobs::dataset::read;
use explanation_jobs::{DataRow, DataSet, JobFile, Opening, Place, Problem, ProblemKind, Shard};

use crate::support;

const OPENING: Opening = Opening { retry_errors: false, rows_of_a_part: 9 };

fn address(text: &str) -> Address {
    match text.parse().unwrap() {
        Place::Remote(address) => address,
        Place::Local(path) => panic!("{}", path.display()),
    }
}

/// Access as the environment says; `None` in a process that no other test started, beside a server.
fn cloud() -> Option<Cloud> {
    std::env::var_os(CHILD).map(|_| Cloud::new(Duration::from_mins(1)).unwrap())
}

/// Set for the tests that are children of another.
const CHILD: &str = "OBJECT_STORE_TEST";

/// A megabyte.
fn picture() -> Vec<u8> {
    (0..=255).collect::<Vec<u8>>().repeat(4096)
}

#[test]
fn a_store_takes_the_place_of_a_folder() {
    let Some(python) = support::python("moto.server, boto3") else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dataset/s3_server.py");
    let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
    let [files, end] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let input = files.path().join("in");
    std::fs::create_dir(&input).unwrap();
    std::fs::write(input.join("x ü.png"), picture()).unwrap();
    let jobs = "{\"id\": \"a\", \"prompt\": \"P\"}\n{\"id\": \"b\", \"prompt\": \"P\"}\n";
    std::fs::write(input.join("jobs.jsonl"), jobs).unwrap();
    let mut server = Command::new(python)
        .arg(script)
        .args([files.path(), end.path()])
        .envs(keys)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut port = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
    // The variables are for a process of their own.
    let children = Command::new(std::env::current_exe().unwrap())
        .args(["cloud::child", "--test-threads=1"])
        .envs(keys)
        .env(CHILD, "1")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", port.trim()))
        .env("AWS_ALLOW_HTTP", "true")
        .output()
        .unwrap();
    drop(server.stdin.take());
    let ended = server.wait().unwrap();
    let said = String::from_utf8_lossy(&children.stdout).into_owned()
        + &String::from_utf8_lossy(&children.stderr);
    assert!(children.status.success(), "{said}");
    assert!(said.contains("4 passed"), "{said}");
    assert!(ended.success() && end.path().join("out").is_dir(), "what the children wrote is there");
}

#[test]
fn child_files_are_read() {
    let Some(cloud) = cloud() else { return };
    let place = address("s3://bucket/in/x ü.png");
    assert_eq!(cloud.read(&place, 1 << 20).unwrap(), picture());
    let problem = cloud.read(&place, (1 << 20) - 1).unwrap_err();
    assert!(problem.message.contains("more than 1048575 bytes"), "{problem}");
    for missing in ["s3://bucket/in/none.png", "s3://nobucket/x"] {
        let problem = cloud.read(&address(missing), 10).unwrap_err();
        assert!(
            problem.kind == ProblemKind::File && problem.message.contains(missing),
            "{problem}"
        );
    }
    let file = cloud.download(&address("s3://bucket/in/jobs.jsonl"), 1000).unwrap();
    assert_eq!(JobFile::open(file.path()).unwrap().count(), 2);
}

fn open(cloud: &Cloud, at: &Address, local: &Path, shard: Shard) -> Result<DataSet, Problem> {
    let remote = RemoteSet { cloud, address: at, local };
    DataSet::open_remote(remote, &support::header(), shard, OPENING)
}

fn sorted(rows: impl Iterator<Item = Result<DataRow, Problem>>) -> Vec<DataRow> {
    let mut rows: Vec<DataRow> = rows.map(Result::unwrap).collect();
    rows.sort_by(|a, b| (&a.id, a.index).cmp(&(&b.id, b.index)));
    rows
}

#[cfg(feature = "page")]
fn at_page() -> Address {
    address("s3://bucket/out/batch 1/index.html")
}

/// Adds what is not done of the first jobs; how many that are.
fn add(set: &mut DataSet, shard: Shard, jobs: usize) -> usize {
    let outcomes = (0..jobs).map(support::outcome).filter(|it| shard.has(&it.id));
    let new: Vec<_> = outcomes.filter(|it| !set.is_done(&it.id)).collect();
    for outcome in &new {
        set.add(outcome, &[Some(vec![7; 9])]).unwrap();
    }
    new.len()
}

#[test]
fn child_a_batch_is_taken_up_on_two_machines() {
    let Some(cloud) = cloud() else { return };
    let at = address("s3://bucket/out/batch 1");
    let locals = [(); 2].map(|()| tempfile::tempdir().unwrap());
    for (index, local) in locals.iter().enumerate() {
        let shard = Shard::new(index as u64, 2).unwrap();
        let mut set = open(&cloud, &at, local.path(), shard).unwrap();
        let first = add(&mut set, shard, 20);
        assert_eq!(open(&cloud, &at, local.path(), shard).unwrap_err().kind, ProblemKind::Busy);
        // It ends without finishing.
        drop(set);
        let mut set = open(&cloud, &at, local.path(), shard).unwrap();
        let second = add(&mut set, shard, 30);
        assert_eq!(first + second, (0..30).filter(|i| shard.has(&format!("job {i}"))).count());
        set.finish().unwrap();
    }
    let calm = tempfile::tempdir().unwrap();
    let mut set = DataSet::open(calm.path(), &support::header(), Shard::WHOLE, OPENING).unwrap();
    add(&mut set, Shard::WHOLE, 30);
    set.finish().unwrap();
    let found = sorted(read_remote(&cloud, &at).unwrap());
    assert_eq!(found, sorted(read(calm.path()).unwrap()));
    #[cfg(feature = "page")]
    {
        use explanation_jobs::{Index, write_index_remote};
        let index = Index { title: "T", link: &|_| None };
        // Twice: its own page is replaced.
        for _ in 0..2 {
            let shown = write_index_remote(&cloud, &at, &index).unwrap();
            assert_eq!(shown.rows, found.len() as u64);
        }
        let page = cloud.read(&at_page(), 1 << 20).unwrap();
        assert!(page.starts_with(b"<!doctype html>"));
    }

    // The journals of one data set are not those of another.
    let other = address("s3://bucket/out/batch 2");
    let problem = open(&cloud, &other, locals[0].path(), Shard::WHOLE).unwrap_err();
    assert!(problem.message.contains("of another data set"), "{problem}");
    assert!(read_remote(&cloud, &other).is_err());
    let mut header = support::header();
    header.program = "explainer 2".to_owned();
    let local = tempfile::tempdir().unwrap();
    let remote = RemoteSet { cloud: &cloud, address: &at, local: local.path() };
    let problem = DataSet::open_remote(remote, &header, Shard::WHOLE, OPENING).unwrap_err();
    assert!(problem.message.contains("s3://bucket/out/batch 1/batch.json"), "{problem}");
}

#[test]
fn child_a_part_is_never_replaced_by_another_machine() {
    let Some(cloud) = cloud() else { return };
    let at = address("s3://bucket/out/twice");
    let locals = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let mut sets = [0, 1].map(|i| open(&cloud, &at, locals[i].path(), Shard::WHOLE).unwrap());
    sets[0].add(&support::outcome(0), &[]).unwrap();
    sets[1].add(&support::outcome(1), &[]).unwrap();
    let [first, second] = sets;
    first.finish().unwrap();
    let problem = second.finish().unwrap_err();
    assert!(problem.message.contains("another machine"), "{problem}");
    // Nothing is lost: the journal has it, and the next run puts it into the next part.
    open(&cloud, &at, locals[1].path(), Shard::WHOLE).unwrap().finish().unwrap();
    let ids: Vec<String> =
        sorted(read_remote(&cloud, &at).unwrap()).into_iter().map(|row| row.id).collect();
    assert_eq!(ids, ["job 0", "job 0", "job 1", "job 1"]);
}

#[test]
fn child_errors_are_done_again() {
    let Some(cloud) = cloud() else { return };
    let at = address("s3://bucket/out/errors");
    let local = tempfile::tempdir().unwrap();
    let mut set = open(&cloud, &at, local.path(), Shard::WHOLE).unwrap();
    add(&mut set, Shard::WHOLE, 8);
    assert_eq!(set.finish().unwrap().errors, 2);
    let remote = RemoteSet { cloud: &cloud, address: &at, local: local.path() };
    let retry = Opening { retry_errors: true, ..OPENING };
    let two = Shard::new(0, 2).unwrap();
    let problem = DataSet::open_remote(remote, &support::header(), two, retry).unwrap_err();
    assert!(problem.message.contains("single process"), "{problem}");
    let mut set = DataSet::open_remote(remote, &support::header(), Shard::WHOLE, retry).unwrap();
    for id in ["job 3", "job 7"] {
        assert!(!set.is_done(id));
        let mut better = support::outcome(0);
        id.clone_into(&mut better.id);
        set.add(&better, &[]).unwrap();
    }
    assert_eq!(set.finish().unwrap().errors, 0);
    assert_eq!(read_remote(&cloud, &at).unwrap().count(), 2 * 6 + 2);
}
