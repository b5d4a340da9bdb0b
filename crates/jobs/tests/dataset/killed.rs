//! A process that writes a data set and is killed again and again, until it comes to its end.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use explanation_jobs::dataset::read;
use explanation_jobs::{DataRow, DataSet, Opening, Shard};

use crate::support;

/// Where the child writes.
const FOLDER: &str = "EXPLANATION_JOBS_TEST_FOLDER";
const JOBS: usize = 400;
const OPENING: Opening = Opening { retry_errors: false, rows_of_a_part: 40 };

fn write(folder: &Path) {
    let mut set = DataSet::open(folder, &support::header(), Shard::WHOLE, OPENING).unwrap();
    for outcome in (0..JOBS).map(support::outcome) {
        if !set.is_done(&outcome.id) {
            set.add(&outcome, &[Some(vec![7; 100])]).unwrap();
        }
    }
    set.finish().unwrap();
}

fn sorted(folder: &Path) -> Vec<DataRow> {
    let mut rows: Vec<DataRow> = read(folder).unwrap().map(Result::unwrap).collect();
    rows.sort_by(|a, b| (&a.id, a.index).cmp(&(&b.id, b.index)));
    rows
}

#[test]
fn child() {
    // Only in the process that the other test starts, and kills.
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    write(&folder);
}

#[test]
fn what_is_killed_again_and_again_comes_to_the_same_end() {
    let [calm, killed] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    write(calm.path());
    let program = std::env::current_exe().unwrap();
    let mut kills = 0;
    loop {
        let mut child = Command::new(&program)
            .args(["--exact", "killed::child"])
            .env(FOLDER, killed.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Uneven, so that it ends in every part of the work; longer each time, so that it comes to an end.
        let wait = 20 + (kills * 7919) % 61 + kills * 4;
        std::thread::sleep(Duration::from_millis(wait));
        let _killed_or_gone = child.kill();
        if child.wait().unwrap().success() {
            break;
        }
        kills += 1;
        assert!(kills < 1000, "it does not get on");
    }
    eprintln!("killed {kills} times");
    assert_eq!(sorted(killed.path()), sorted(calm.path()));
    assert_eq!(sorted(calm.path()).len(), JOBS / 4 * 6);
    for entry in std::fs::read_dir(killed.path().join("results")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == ".lock" || name.starts_with("part-"), "{name}");
    }
}
