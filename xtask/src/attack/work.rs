//! The work on cases: which come when, their runs, and what is kept of findings.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::case::Case;
use super::hub::{self, Hub};
use super::judge::{self, Finding, Kind};
use super::material::Material;
use super::page::{Count, Counts};
use super::run::{self, Ended, Limits};
use super::sandbox::Sandbox;
use super::surfaces::{self, Surface};
use super::{Options, results, workers};
use checkpoint_files::random::{SplitMix, hash};

/// What every case has in common.
#[derive(Clone, Copy)]
pub(super) struct Attack<'a> {
    pub(super) material: &'a Material,
    /// Where cases run and findings are kept.
    pub(super) folder: &'a Path,
    pub(super) limits: Limits,
    pub(super) seed: u64,
}

/// The cases of one surface: the fixed ones, and then as many random ones as there is time for.
struct Source {
    surface: &'static Surface,
    fixed: Vec<Case>,
}

impl Source {
    /// The case of this number, the same whenever it is asked for.
    fn case(&self, number: usize, attack: &Attack<'_>) -> Result<Case> {
        if let Some(case) = self.fixed.get(number) {
            return Ok(case.clone());
        }
        let mut random =
            SplitMix::new(attack.seed ^ hash(self.surface.name) ^ (number as u64) << 32);
        (self.surface.random)(attack.material, &mut random)
    }
}

impl Attack<'_> {
    /// Every fixed case, and then random ones in turn until the time is over.
    pub(super) fn all(&self, options: &Options) -> Result<Counts> {
        let mut sources = Vec::new();
        for surface in &surfaces::ALL {
            if options.only.is_empty() || options.only.iter().any(|name| name == surface.name) {
                let fixed = (surface.fixed)(self.material)
                    .with_context(|| format!("the cases of {}", surface.name))?;
                sources.push(Source { surface, fixed });
            }
        }
        let mut numbers: Vec<(usize, usize)> = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let all = source.fixed.len() + options.cases;
            numbers.extend((0..all).map(|number| (index, number)));
        }
        if let Some(number) = options.case {
            numbers = vec![(0, number)];
        }
        let until = options.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        self.spread(&sources, &numbers, until, options)
    }

    fn spread(
        &self,
        sources: &[Source],
        numbers: &[(usize, usize)],
        until: Option<Instant>,
        options: &Options,
    ) -> Result<Counts> {
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let counts: Mutex<Counts> = Mutex::default();
        let work = |worker: usize| -> Result<()> {
            let place = self.folder.join(format!("work-{worker}"));
            while !stop.load(Ordering::SeqCst) {
                let turn = next.fetch_add(1, Ordering::SeqCst);
                let (index, number) = match numbers.get(turn) {
                    Some(found) => *found,
                    None if until.is_none_or(|until| until <= Instant::now()) => break,
                    None => {
                        let turn = turn - numbers.len();
                        let index = turn % sources.len();
                        let first = sources[index].fixed.len() + options.cases;
                        (index, first + turn / sources.len())
                    }
                };
                let count = self.one(&sources[index], number, &place)?;
                let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                counts.entry(sources[index].surface.name).or_default().add(&count);
            }
            let _ = fs::remove_dir_all(&place);
            Ok(())
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers(options))
                .map(|worker| {
                    let (work, stop) = (&work, &stop);
                    scope.spawn(move || {
                        let result = work(worker);
                        if result.is_err() {
                            stop.store(true, Ordering::SeqCst);
                        }
                        result
                    })
                })
                .collect();
            for thread in threads {
                match thread.join() {
                    Ok(result) => result?,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Ok::<(), anyhow::Error>(())
        })?;
        Ok(counts.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs one case and keeps what was found.
    fn one(&self, source: &Source, number: usize, place: &Path) -> Result<Count> {
        let case = source.case(number, self)?;
        let sandbox = Sandbox::new(place.to_owned())?;
        sandbox.fill(&case, self.material)?;
        let hub = match &case.hub {
            Some(mischief) => Some(self.hub(mischief.clone(), &sandbox)?),
            None => None,
        };
        let endpoint = hub.as_ref().map_or(hub::NOWHERE, Hub::endpoint).to_owned();
        let mut count = Count { cases: 1, ..Count::default() };
        let mut found = Vec::new();
        let mut said = Vec::new();
        let mut before = sandbox.look()?;
        for call in &case.calls {
            let ended = run::run(self.material.binary(), call, &sandbox, self.limits, &endpoint)?;
            let after = sandbox.look()?;
            found.extend(judge::judge(call, &ended, self.limits, &before, &after));
            found.extend(results::judge(call, &ended, &sandbox, &after)?);
            before = after;
            count.add_call(&ended, call);
            said.push(ended);
        }
        let wrong = hub.map(|hub| hub.wrong()).unwrap_or_default();
        found.extend(wrong.into_iter().map(|what| Finding { kind: Kind::Answer, what }));
        for Finding { kind, what } in &found {
            *count.findings.entry(*kind).or_default() += 1;
            let (surface, title) = (source.surface.name, shown(&case.title));
            println!("{surface} {number}: {title}: {}: {}", kind.name(), shown(what));
        }
        if !found.is_empty() {
            let kept = Kept { surface: source.surface.name, number, case: &case, found, said };
            self.keep(&kept, &sandbox)?;
        }
        Ok(count)
    }

    fn hub(&self, mischief: hub::Mischief, sandbox: &Sandbox) -> Result<Hub> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(self.material.checkpoint())? {
            let entry = entry?;
            files.insert(entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?);
        }
        Hub::start(mischief, files, sandbox.root().to_string_lossy().into_owned())
    }

    /// Puts the folder of a case, its commands and what they printed where they stay.
    fn keep(&self, kept: &Kept<'_>, sandbox: &Sandbox) -> Result<()> {
        let name = kept.surface.replace([' ', ','], "-");
        let folder = self.folder.join("findings").join(format!("{name}-{}", kept.number));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let again = format!(
            "cargo xtask attack --seed {} --only '{}' --case {}",
            self.seed, kept.surface, kept.number
        );
        let mut text = format!("{}\n{again}\n\n", shown(&kept.case.title));
        for Finding { kind, what } in &kept.found {
            writeln!(text, "{}: {}", kind.name(), shown(what))?;
        }
        for (index, (call, ended)) in kept.case.calls.iter().zip(&kept.said).enumerate() {
            let words: Vec<_> = call.args.iter().map(|arg| shown(&arg.to_string_lossy())).collect();
            writeln!(text, "\nmedgemma-explainer {} {}", words.join(" "), call.redirect)?;
            let (code, signal, seconds) = (ended.code, ended.signal, ended.took.as_secs_f64());
            writeln!(
                text,
                "code {code:?}, signal {signal:?}, {seconds:.1} s, {} MiB",
                ended.peak_mib
            )?;
            fs::write(folder.join(format!("stdout-{index}")), &ended.stdout.bytes)?;
            fs::write(folder.join(format!("stderr-{index}")), &ended.stderr.bytes)?;
        }
        fs::write(folder.join("what.txt"), text)?;
        fs::rename(sandbox.root(), folder.join("folder"))?;
        Ok(())
    }
}

/// A case in which something was found.
struct Kept<'a> {
    surface: &'static str,
    number: usize,
    case: &'a Case,
    found: Vec<Finding>,
    said: Vec<Ended>,
}

/// Text of others, fit for a terminal.
fn shown(text: &str) -> String {
    let text: String = text.chars().take(400).collect();
    text.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;

    /// Material without a program: surfaces that are made of what it prints or writes are left out.
    fn with_attack(seed: u64, check: impl Fn(&Attack<'_>, &'static Surface)) {
        let checkpoint = Workspace::find().unwrap().root().join("crates/explainer/models/phantom");
        let folder = tempfile::tempdir().unwrap();
        let material = Material::new(checkpoint, "no-program".into(), folder.path().to_owned());
        let attack =
            Attack { material: &material, folder: folder.path(), limits: Limits::USUAL, seed };
        let asks_program = ["stored folders", "command lines", "output folders"];
        for surface in surfaces::ALL.iter().filter(|it| !asks_program.contains(&it.name)) {
            check(&attack, surface);
        }
    }

    fn random(attack: &Attack<'_>, surface: &'static Surface, number: usize) -> Case {
        let source = Source { surface, fixed: Vec::new() };
        source.case(number, attack).unwrap()
    }

    #[test]
    fn a_seed_and_a_number_give_the_same_case_and_others_another() {
        with_attack(5, |attack, surface| {
            let cases: Vec<Case> = (0..6).map(|n| random(attack, surface, n)).collect();
            for (number, case) in cases.iter().enumerate() {
                assert!(*case == random(attack, surface, number), "{}", surface.name);
            }
            let distinct = (0..6).filter(|&n| !cases[..n].contains(&cases[n])).count();
            assert!(3 < distinct, "{}: {distinct}", surface.name);
            let other = Attack { seed: 6, ..*attack };
            let differ = (0..6).any(|n| random(&other, surface, n) != cases[n]);
            assert!(differ, "{}", surface.name);
        });
    }

    #[test]
    fn every_surface_has_fixed_cases_with_calls() {
        with_attack(0, |attack, surface| {
            let cases = (surface.fixed)(attack.material).unwrap();
            assert!(3 < cases.len(), "{}", surface.name);
            assert!(cases.iter().all(|case| !case.calls.is_empty()), "{}", surface.name);
        });
    }
}
