//! Parts of a file of jobs for several processes.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::{Problem, ProblemKind};

/// Most shards of a file of jobs.
pub const MOST_SHARDS: u64 = 100_000;

/// The part of the jobs that a process does: shard `index` of `count`, written `index/count` and counted from 0.
///
/// A job belongs to the shard that its id says: the first 8 bytes of the SHA-256 of the id, as a big-endian number, modulo `count`. So
/// the shard of a job is the same in every version of the program, on every machine, and whatever else is in the file.
///
/// ```
/// use explanation_jobs::Shard;
///
/// let shard: Shard = "1/4".parse()?;
/// assert_eq!(shard.to_string(), "1/4");
/// let all: Vec<Shard> = (0..4).map(|i| format!("{i}/4").parse()).collect::<Result<_, _>>()?;
/// assert_eq!(all.iter().filter(|shard| shard.has("job 7")).count(), 1);
/// # Ok::<(), explanation_jobs::Problem>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    index: u64,
    count: u64,
}

/// A shard that variables of the environment say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardFromEnv {
    /// The shard.
    pub shard: Shard,
    /// The variables that say it, for people.
    pub variables: Vec<&'static str>,
}

impl Shard {
    /// All jobs.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Shard `index` of `count`.
    ///
    /// # Errors
    /// [`ProblemKind::Option`] unless `index` < `count` ≤ [`MOST_SHARDS`].
    pub fn new(index: u64, count: u64) -> Result<Self, Problem> {
        if index < count && count <= MOST_SHARDS {
            return Ok(Self { index, count });
        }
        let message = format!(
            "there is no shard {index}/{count}: a shard is I/N, with I from 0 to N - 1 and N at most {MOST_SHARDS}"
        );
        Err(Problem::new(ProblemKind::Option, message))
    }

    /// Its number, from 0.
    pub fn index(self) -> u64 {
        self.index
    }

    /// How many shards there are.
    pub fn count(self) -> u64 {
        self.count
    }

    /// Whether the job of this id belongs to it.
    pub fn has(self, id: &str) -> bool {
        let hash = Sha256::digest(id.as_bytes());
        let first = hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
        first % self.count == self.index
    }

    /// The shard that the variables of a scheduler say; `None` outside of one. `variable` looks one up: `|name| std::env::var(name).ok()`
    /// in a program.
    ///
    /// - Slurm, job arrays: `SLURM_ARRAY_TASK_ID` with `SLURM_ARRAY_TASK_MIN`, `…_MAX`, and `…_STEP` and `…_COUNT` where they are set. The
    ///   array must be regular, such as `0-15` or `1-31:2`.
    /// - Slurm, the tasks that `srun` starts: `SLURM_PROCID` with `SLURM_STEP_NUM_TASKS` or else `SLURM_NTASKS`, where that is above 1.
    ///   `SLURM_STEP_ID` must be set, which it is in tasks of `srun`: a script of `sbatch` has the first two as well, but runs once.
    ///   Within an array, the tasks of its elements are counted on: element × tasks + task.
    /// - Kubernetes, indexed jobs: `JOB_COMPLETION_INDEX` with `JOB_COMPLETIONS`, which the manifest has to set to its `completions`.
    ///
    /// # Errors
    /// [`ProblemKind::Option`] for variables that are no numbers, do not go together, or are missing; it says which.
    pub fn from_env(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<ShardFromEnv>, Problem> {
        let number = |name: &'static str| {
            let text = variable(name).filter(|text| !text.trim().is_empty());
            let parse = |text: String| {
                text.trim().parse::<u64>().map_err(|_| {
                    wrong(format!(
                        "{name} is {text:?}, and must be a whole number; give the shard, such as 0/4"
                    ))
                })
            };
            text.map(parse).transpose()
        };
        let array = slurm_array(&number)?;
        let tasks = slurm_tasks(&number)?;
        let slurm = match (array, tasks) {
            (Some(array), Some(tasks)) => {
                let count = array.shard.count.saturating_mul(tasks.shard.count);
                let index = array.shard.index * tasks.shard.count + tasks.shard.index;
                let variables = [array.variables, tasks.variables].concat();
                Some(ShardFromEnv { shard: Self::new(index, count)?, variables })
            }
            (one, other) => one.or(other),
        };
        match slurm {
            Some(found) => Ok(Some(found)),
            None => kubernetes(&number),
        }
    }
}

type Number<'a> = &'a dyn Fn(&'static str) -> Result<Option<u64>, Problem>;

fn slurm_array(number: Number<'_>) -> Result<Option<ShardFromEnv>, Problem> {
    let Some(id) = number("SLURM_ARRAY_TASK_ID")? else { return Ok(None) };
    let needed = |name| {
        number(name)?.ok_or_else(|| {
            wrong(format!(
                "SLURM_ARRAY_TASK_ID is set and {name} is not; give the shard, such as 0/4"
            ))
        })
    };
    let (first, last) = (needed("SLURM_ARRAY_TASK_MIN")?, needed("SLURM_ARRAY_TASK_MAX")?);
    let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
    let irregular = || {
        wrong(format!(
            "task {id} of a Slurm array from {first} to {last}: only a regular array, such as 0-15, says which part of the \
             jobs a task has; make it regular, or give the shard, such as 0/4"
        ))
    };
    if id < first || last < id || !(id - first).is_multiple_of(step) {
        return Err(irregular());
    }
    let count = (last - first) / step + 1;
    if number("SLURM_ARRAY_TASK_COUNT")?.is_some_and(|given| given != count) {
        return Err(irregular());
    }
    let variables = vec!["SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX"];
    Ok(Some(ShardFromEnv { shard: Shard::new((id - first) / step, count)?, variables }))
}

fn slurm_tasks(number: Number<'_>) -> Result<Option<ShardFromEnv>, Problem> {
    let (Some(_), Some(index)) = (number("SLURM_STEP_ID")?, number("SLURM_PROCID")?) else {
        return Ok(None);
    };
    let (name, count) = match number("SLURM_STEP_NUM_TASKS")? {
        Some(count) => ("SLURM_STEP_NUM_TASKS", Some(count)),
        None => ("SLURM_NTASKS", number("SLURM_NTASKS")?),
    };
    let Some(count) = count.filter(|count| 1 < *count) else { return Ok(None) };
    let shard = Shard::new(index, count)?;
    Ok(Some(ShardFromEnv { shard, variables: vec!["SLURM_PROCID", name] }))
}

fn kubernetes(number: Number<'_>) -> Result<Option<ShardFromEnv>, Problem> {
    let Some(index) = number("JOB_COMPLETION_INDEX")? else { return Ok(None) };
    let Some(count) = number("JOB_COMPLETIONS")? else {
        let message = "JOB_COMPLETION_INDEX is set and JOB_COMPLETIONS is not: set it in the manifest to the job's completions, or \
                       give the shard, such as 0/4";
        return Err(wrong(message.to_owned()));
    };
    let variables = vec!["JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"];
    Ok(Some(ShardFromEnv { shard: Shard::new(index, count)?, variables }))
}

fn wrong(message: String) -> Problem {
    Problem::new(ProblemKind::Option, message)
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| digits)
        };
        let parts = text.split_once('/');
        let parsed = parts.and_then(|(index, count)| Some((number(index)?, number(count)?)));
        let Some((index, count)) = parsed else {
            return Err(wrong(format!(
                "{text:?} is no shard: write I/N, such as 0/4 for the first of four"
            )));
        };
        Self::new(index, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Option<(String, usize)>, String> {
        let get = |name: &str| {
            variables.iter().find(|it| it.0 == name).map(|(_, value)| (*value).to_owned())
        };
        let found = Shard::from_env(get).map_err(|problem| problem.message)?;
        Ok(found.map(|found| (found.shard.to_string(), found.variables.len())))
    }

    #[test]
    fn a_shard_is_written_and_read() {
        for text in ["0/1", "3/4", "99999/100000"] {
            assert_eq!(text.parse::<Shard>().unwrap().to_string(), text);
        }
        for text in ["", "1", "4/4", "0/0", "-1/4", "+1/4", "a/b", "1/2/3", " 1/2", "0/100001"] {
            let problem = text.parse::<Shard>().unwrap_err();
            assert_eq!(problem.kind, ProblemKind::Option, "{text}");
        }
        assert_eq!("0/1".parse::<Shard>().unwrap(), Shard::WHOLE);
    }

    #[test]
    fn each_id_is_in_exactly_one_shard_and_they_are_even() {
        for count in [1, 2, 3, 7, 64] {
            let mut sizes = vec![0; count as usize];
            for id in (0..2000).map(|i| format!("patient {i}")) {
                let homes: Vec<u64> = (0..count)
                    .filter(|index| Shard::new(*index, count).unwrap().has(&id))
                    .collect();
                assert_eq!(homes.len(), 1, "{id}");
                sizes[homes[0] as usize] += 1;
            }
            let mean = 2000.0 / count as f64;
            let far = |size: &&i32| (f64::from(**size) - mean).abs() > 6.0 * mean.sqrt();
            assert_eq!(sizes.iter().find(far), None, "{sizes:?}");
        }
    }

    /// From `printf a | sha256sum`: ca978112ca1bbdca….
    #[test]
    fn the_shard_of_an_id_never_changes() {
        let number = 0xca97_8112_ca1b_bdca_u64;
        for count in [2, 5, 97] {
            assert!(Shard::new(number % count, count).unwrap().has("a"));
        }
    }

    #[test]
    fn slurm_says_a_shard() {
        let array = |id, first, last, step, count| {
            from(&[
                ("SLURM_ARRAY_TASK_ID", id),
                ("SLURM_ARRAY_TASK_MIN", first),
                ("SLURM_ARRAY_TASK_MAX", last),
                ("SLURM_ARRAY_TASK_STEP", step),
                ("SLURM_ARRAY_TASK_COUNT", count),
            ])
        };
        assert_eq!(array("3", "0", "15", "1", "16").unwrap().unwrap().0, "3/16");
        assert_eq!(array("5", "1", "31", "2", "16").unwrap().unwrap().0, "2/16");
        // 0,1,3
        assert!(array("1", "0", "3", "1", "3").unwrap_err().contains("regular"));
        assert!(array("x", "0", "3", "1", "4").unwrap_err().contains("SLURM_ARRAY_TASK_ID"));
        let alone = from(&[("SLURM_ARRAY_TASK_ID", "3")]).unwrap_err();
        assert!(alone.contains("SLURM_ARRAY_TASK_MIN"), "{alone}");

        let task = [("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "2"), ("SLURM_NTASKS", "4")];
        assert_eq!(from(&task).unwrap(), Some(("2/4".to_owned(), 2)));
        assert_eq!(from(&task[1..]).unwrap(), None, "a script of sbatch runs once");
        assert_eq!(
            from(&[("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "0"), ("SLURM_NTASKS", "1")]).unwrap(),
            None
        );
        let both = [
            ("SLURM_ARRAY_TASK_ID", "1"),
            ("SLURM_ARRAY_TASK_MIN", "0"),
            ("SLURM_ARRAY_TASK_MAX", "2"),
        ];
        let both = [&both[..], &task[..]].concat();
        assert_eq!(from(&both).unwrap().unwrap().0, "6/12");
    }

    #[test]
    fn kubernetes_says_a_shard() {
        assert_eq!(from(&[]).unwrap(), None);
        let pod = [("JOB_COMPLETION_INDEX", "2"), ("JOB_COMPLETIONS", "8")];
        assert_eq!(from(&pod).unwrap(), Some(("2/8".to_owned(), 2)));
        assert!(from(&pod[..1]).unwrap_err().contains("set it in the manifest"));
        assert!(from(&[("JOB_COMPLETION_INDEX", "8"), ("JOB_COMPLETIONS", "8")]).is_err());
    }
}
