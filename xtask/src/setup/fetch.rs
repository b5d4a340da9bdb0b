//! Filling a place in the cache: download, check, unpack, rename.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::Variant;
use super::cache::{Entry, Manifest};
use super::pip::{Dependencies, Pip};
use super::platform::Platform;
use super::user;
use super::wheel::{Requirement, Unpacked, Wheel};
use crate::disk;

/// Lays libtorch out in `entry`. The caller holds its lock.
pub(crate) fn fill(entry: &Entry, version: &str, variant: Variant) -> Result<()> {
    let platform = Platform::here()?;
    ensure!(
        variant == Variant::Cpu || platform == Platform::LinuxX86_64,
        "there is no CUDA on this system; leave --cuda out"
    );
    let pip = Pip::find()?;
    let partial = entry.start()?;
    disk::require(partial.path(), platform.room(variant))?;
    println!(
        "downloading with pip: torch {version} (about 0.5 GB on Linux), for {}",
        entry.folder().display()
    );
    let files = Job { pip, platform, variant, folder: partial.path() }.run(version)?;
    check_layout(&partial.path().join("torch"), platform, version)?;
    let manifest = Manifest { version: version.to_owned(), variant, files };
    println!("unpacked: {} in {} files", disk::megabytes(manifest.size()), manifest.files.len());
    partial.finish(&manifest)
}

struct Job<'a> {
    pip: Pip,
    platform: Platform,
    variant: Variant,
    folder: &'a Path,
}

impl Job<'_> {
    fn run(&self, version: &str) -> Result<Vec<Unpacked>> {
        let torch = self.download(&[format!("torch=={version}")], Dependencies::No)?;
        let [torch] = torch.as_slice() else {
            anyhow::bail!("pip left {} wheels of torch, not one", torch.len())
        };
        let requirements = Wheel::open(torch)?.requirements()?;
        let mut files = self.unpack(torch)?;
        if self.platform == Platform::LinuxX86_64 {
            let companions = companions(&requirements, self.variant);
            let specifiers: Vec<_> = companions.iter().map(Requirement::specifier).collect();
            ensure!(
                !specifiers.is_empty(),
                "torch {version} names no CUDA runtime, which its CPU library needs"
            );
            // The metapackage holds nothing itself: what it requires is wanted.
            for wheel in self.download(&specifiers, Dependencies::Yes)? {
                files.extend(self.unpack(&wheel)?);
            }
        }
        if let Some((path, text)) = self.platform.substitute(self.variant) {
            std::fs::write(self.folder.join(path), text)?;
            files.push((PathBuf::from(path), text.len() as u64));
        }
        Ok(files)
    }

    fn download(&self, what: &[String], dependencies: Dependencies) -> Result<Vec<PathBuf>> {
        let start = Instant::now();
        let wheels = self.pip.download(what, &self.folder.join("wheels"), dependencies)?;
        let sizes = wheels.iter().map(|path| path.metadata().map(|metadata| metadata.len()));
        let size: u64 = sizes.sum::<Result<_, _>>()?;
        let seconds = start.elapsed().as_secs_f64();
        println!("downloaded {}: {} in {seconds:.1} s", what.join(", "), disk::megabytes(size));
        Ok(wheels)
    }

    /// Unpacks what is needed of the wheel and removes it.
    fn unpack(&self, wheel: &Path) -> Result<Vec<Unpacked>> {
        let place = |member: &str| self.platform.place(self.variant, member);
        let files = Wheel::open(wheel)?.unpack(self.folder, place)?;
        std::fs::remove_file(wheel)?;
        // The manifest comes last and stands for a layout without the download folder.
        let _ = std::fs::remove_dir(self.folder.join("wheels"));
        Ok(files)
    }
}

/// The CUDA packages that this torch names and the variant needs, with the versions that torch states.
///
/// Newer wheels name a metapackage with extras, `cuda-toolkit[cudart,cupti,…]==13.0.3`; older ones each library by name.
fn companions(requirements: &[Requirement], variant: Variant) -> Vec<Requirement> {
    let stated = requirements.iter().filter(|requirement| !requirement.optional);
    stated.filter_map(|requirement| companion(requirement, variant)).collect()
}

fn companion(requirement: &Requirement, variant: Variant) -> Option<Requirement> {
    let name = requirement.name.as_str();
    if variant == Variant::Cuda {
        return (name == "cuda-toolkit" || name.starts_with("nvidia-"))
            .then(|| requirement.clone());
    }
    if name == "cuda-toolkit" {
        let is_needed = |extra: &String| extra == "cudart" || extra == "cupti";
        let extras: Vec<_> =
            requirement.extras.iter().filter(|extra| is_needed(extra)).cloned().collect();
        return (!extras.is_empty()).then(|| Requirement { extras, ..requirement.clone() });
    }
    let is_needed =
        name.starts_with("nvidia-cuda-runtime") || name.starts_with("nvidia-cuda-cupti");
    is_needed.then(|| requirement.clone())
}

fn check_layout(torch: &Path, platform: Platform, version: &str) -> Result<()> {
    let library = torch.join("lib").join(platform.main_library());
    ensure!(library.is_file(), "the wheel of torch {version} holds no {}", platform.main_library());
    let found = user::version_in(torch).context("the headers in the wheel state no version")?;
    ensure!(found == version, "the wheel holds torch {found}, wanted {version}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(name: &str, extras: &[&str], optional: bool) -> Requirement {
        let extras = extras.iter().map(|&extra| extra.to_owned()).collect();
        Requirement { name: name.to_owned(), extras, version: "==1".to_owned(), optional }
    }

    fn specifiers(requirements: &[Requirement], variant: Variant) -> Vec<String> {
        companions(requirements, variant).iter().map(Requirement::specifier).collect()
    }

    #[test]
    fn the_metapackage_is_cut_to_what_the_cpu_library_needs() {
        let all = [
            requirement("sympy", &[], false),
            requirement("cuda-toolkit", &["cublas", "cudart", "cupti"], false),
            requirement("nvidia-nccl-cu13", &[], false),
            requirement("nvidia-extra", &[], true),
        ];
        assert_eq!(specifiers(&all, Variant::Cpu), ["cuda-toolkit[cudart,cupti]==1"]);
        let cuda = ["cuda-toolkit[cublas,cudart,cupti]==1", "nvidia-nccl-cu13==1"];
        assert_eq!(specifiers(&all, Variant::Cuda), cuda);
    }

    #[test]
    fn libraries_by_name_are_found_too() {
        let names = ["nvidia-cuda-runtime-cu12", "nvidia-cuda-cupti-cu12", "nvidia-cublas-cu12"];
        let all = names.map(|name| requirement(name, &[], false));
        assert_eq!(
            specifiers(&all, Variant::Cpu),
            ["nvidia-cuda-runtime-cu12==1", "nvidia-cuda-cupti-cu12==1"]
        );
    }
}
