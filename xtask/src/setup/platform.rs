//! What differs between operating systems: which files of the wheel are needed, and where caches live.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::Variant;

/// A system for which the index has a wheel that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    LinuxX86_64,
    /// Written from the list of files in the wheel; never run.
    MacOsArm64,
}

impl Platform {
    /// The system that we run on.
    pub(crate) fn here() -> Result<Self> {
        match (std::env::consts::OS, std::env::consts::ARCH) {
            ("linux", "x86_64") => Ok(Self::LinuxX86_64),
            ("macos", "aarch64") => Ok(Self::MacOsArm64),
            (os, arch) => bail!(
                "set-up knows Linux x86_64 and macOS arm64, not {os} {arch}; \
                 set LIBTORCH to a libtorch folder, or LIBTORCH_USE_PYTORCH=1 to use the PyTorch of your Python"
            ),
        }
    }

    /// The platform tags of the wheel, for a Python too old or too new to have one of its own.
    pub(crate) fn wheel_tags(self) -> &'static [&'static str] {
        match self {
            Self::LinuxX86_64 => &["manylinux_2_28_x86_64"],
            Self::MacOsArm64 => &["macosx_14_0_arm64", "macosx_11_0_arm64"],
        }
    }

    /// File name of the library without which nothing links.
    pub(crate) fn main_library(self) -> &'static str {
        match self {
            Self::LinuxX86_64 => "libtorch_cpu.so",
            Self::MacOsArm64 => "libtorch_cpu.dylib",
        }
    }

    /// File name of the library that makes the layout one for CUDA.
    pub(crate) const CUDA_LIBRARY: &'static str = "libtorch_cuda.so";

    /// Where a member of a wheel goes below the folder of the layout; `None`: it is not needed.
    pub(crate) fn place(self, variant: Variant, member: &str) -> Option<PathBuf> {
        let wanted = match variant {
            Variant::Cpu => return self.place_cpu(member),
            // As in site-packages: the libraries look for each other by `$ORIGIN/../../nvidia/…`.
            Variant::Cuda => {
                is_header(member) || member.starts_with("torch/lib/") || is_nvidia_library(member)
            }
        };
        wanted.then(|| PathBuf::from(member))
    }

    fn place_cpu(self, member: &str) -> Option<PathBuf> {
        if is_header(member) {
            return Some(PathBuf::from(member));
        }
        let (folder, name) = member.rsplit_once('/')?;
        let wanted = match self {
            // libtorch_cpu.so of the CUDA wheel needs these two of NVIDIA's; laid beside it, `$ORIGIN` finds them.
            Self::LinuxX86_64 if is_nvidia_library(member) => {
                name.starts_with("libcudart.so.") || name.starts_with("libcupti.so.")
            }
            Self::LinuxX86_64 => folder == "torch/lib" && LINUX_LIBRARIES.contains(&name),
            Self::MacOsArm64 => folder == "torch/lib" && MACOS_LIBRARIES.contains(&name),
        };
        wanted.then(|| PathBuf::from("torch/lib").join(name))
    }

    /// A file that stands for one of the wheel's: its path and what is in it.
    ///
    /// torch-sys links with `-ltorch`. The wheel's libtorch.so is a shell that loads `libtorch_cuda.so`, and exports weak
    /// C++ symbols for which some linkers keep it; a program then asks for CUDA libraries that the CPU layout has not.
    /// A linker script gives the linker the library behind the shell instead.
    pub(crate) fn substitute(self, variant: Variant) -> Option<(&'static str, &'static str)> {
        let is_needed = self == Self::LinuxX86_64 && variant == Variant::Cpu;
        is_needed.then_some(("torch/lib/libtorch.so", "INPUT(-ltorch_cpu)\n"))
    }

    /// How many bytes the wheels and what is unpacked of them take together, rounded up.
    pub(crate) fn room(self, variant: Variant) -> u64 {
        match (self, variant) {
            (Self::MacOsArm64, _) => 600_000_000,
            (Self::LinuxX86_64, Variant::Cpu) => 1_200_000_000,
            (Self::LinuxX86_64, Variant::Cuda) => 7_000_000_000,
        }
    }
}

const LINUX_LIBRARIES: [&str; 3] = ["libtorch_cpu.so", "libc10.so", "libgomp.so.1"];
const MACOS_LIBRARIES: [&str; 4] =
    ["libtorch_cpu.dylib", "libtorch.dylib", "libc10.dylib", "libomp.dylib"];

fn is_header(member: &str) -> bool {
    member.starts_with("torch/include/")
}

fn is_nvidia_library(member: &str) -> bool {
    member.starts_with("nvidia/") && member.contains("/lib/") && member.contains(".so")
}

/// The folder in which all clones of one user share libtorch.
pub(crate) fn cache_root() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let base = match std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from) {
        // The XDG base directory specification has relative paths ignored.
        Some(folder) if folder.is_absolute() => folder,
        _ => {
            let home = home.context(
                "neither XDG_CACHE_HOME nor HOME is set, so there is no place for libtorch",
            )?;
            home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" })
        }
    };
    Ok(base.join("medgemma-explainer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(platform: Platform, variant: Variant, member: &str) -> Option<String> {
        platform.place(variant, member).map(|path| path.to_string_lossy().into_owned())
    }

    #[test]
    fn the_cpu_layout_is_headers_and_five_libraries() {
        let place = |member| placed(Platform::LinuxX86_64, Variant::Cpu, member);
        assert_eq!(
            place("torch/include/ATen/ATen.h").as_deref(),
            Some("torch/include/ATen/ATen.h")
        );
        assert_eq!(
            place("torch/lib/libtorch_cpu.so").as_deref(),
            Some("torch/lib/libtorch_cpu.so")
        );
        assert_eq!(
            place("nvidia/cu13/lib/libcupti.so.13").as_deref(),
            Some("torch/lib/libcupti.so.13")
        );
        assert_eq!(place("nvidia/cu13/lib/libnvperf_host.so"), None);
        assert_eq!(place("torch/lib/libtorch_cuda.so"), None);
        assert_eq!(place("torch/__init__.py"), None);
    }

    #[test]
    fn the_shell_around_the_library_is_replaced_where_there_is_no_cuda() {
        let (path, _) = Platform::LinuxX86_64.substitute(Variant::Cpu).unwrap();
        assert_eq!(placed(Platform::LinuxX86_64, Variant::Cpu, path), None);
        assert!(placed(Platform::LinuxX86_64, Variant::Cuda, path).is_some());
        assert_eq!(Platform::LinuxX86_64.substitute(Variant::Cuda), None);
        assert_eq!(Platform::MacOsArm64.substitute(Variant::Cpu), None);
    }

    #[test]
    fn the_cuda_layout_stays_as_in_site_packages() {
        let place = |member| placed(Platform::LinuxX86_64, Variant::Cuda, member);
        assert_eq!(
            place("torch/lib/libtorch_cuda.so").as_deref(),
            Some("torch/lib/libtorch_cuda.so")
        );
        assert_eq!(
            place("nvidia/cudnn/lib/libcudnn.so.9").as_deref(),
            Some("nvidia/cudnn/lib/libcudnn.so.9")
        );
        assert_eq!(place("nvidia/cu13/include/cuda.h"), None);
        assert_eq!(place("torch/nn/__init__.py"), None);
    }

    #[test]
    fn the_mac_layout_has_its_own_names() {
        let place = |member| placed(Platform::MacOsArm64, Variant::Cpu, member);
        assert_eq!(place("torch/lib/libomp.dylib").as_deref(), Some("torch/lib/libomp.dylib"));
        assert_eq!(place("torch/lib/libtorch_python.dylib"), None);
    }
}
