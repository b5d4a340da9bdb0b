//! Choice of device and number type, as a user writes it.

use std::fmt;
use std::str::FromStr;

use tch::{Cuda, Device, Kind};

use crate::{Config, Error, Placement, Weights};

/// Where to compute: `auto`, `cpu`, `cuda` or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceSpec {
    /// The first CUDA device if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number; an error where there is none.
    Cuda(usize),
}

impl DeviceSpec {
    /// The device itself. CUDA asked for and absent is an error that says so.
    pub fn resolve(self) -> Result<Device, Error> {
        let count = usize::try_from(Cuda::device_count()).unwrap_or(0);
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Auto if count == 0 => Ok(Device::Cpu),
            Self::Auto => Ok(Device::Cuda(0)),
            Self::Cuda(index) if index < count => Ok(Device::Cuda(index)),
            Self::Cuda(_) => {
                Err(Error::NoCuda { asked: self.to_string(), reason: shortage(count) })
            }
        }
    }
}

impl FromStr for DeviceSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => cuda_index(text)
                .map(Self::Cuda)
                .ok_or_else(|| Error::UnknownDevice { found: text.to_owned() }),
        }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// Which type weights and activations have: `auto`, `float32` or `bfloat16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DtypeSpec {
    /// What the checkpoint declares or, if it does not, what most of its weights are stored in. A float16 or float64 checkpoint
    /// becomes float32: activations of Gemma3 leave the range of float16, and nothing here gains from float64.
    #[default]
    Auto,
    /// 32-bit floats.
    Float32,
    /// 16-bit brain floats.
    BFloat16,
}

impl DtypeSpec {
    /// The type itself: `Kind::Float` or `Kind::BFloat16`.
    pub fn resolve(self, config: &Config, weights: &Weights) -> Kind {
        match self {
            Self::Float32 => Kind::Float,
            Self::BFloat16 => Kind::BFloat16,
            Self::Auto => match config.dtype.or_else(|| weights.main_kind()) {
                Some(Kind::BFloat16) => Kind::BFloat16,
                _ => Kind::Float,
            },
        }
    }
}

impl FromStr for DtypeSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "auto" => Ok(Self::Auto),
            "float32" => Ok(Self::Float32),
            "bfloat16" => Ok(Self::BFloat16),
            _ => Err(Error::UnknownDtype { found: text.to_owned() }),
        }
    }
}

impl fmt::Display for DtypeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Float32 => "float32",
            Self::BFloat16 => "bfloat16",
        })
    }
}

impl Placement {
    /// Whether main memory holds the weights.
    pub fn on_cpu(self) -> bool {
        self.device == Device::Cpu
    }

    /// The device as a user writes it: `cpu` or `cuda:N`.
    pub fn device_name(self) -> String {
        match self.device {
            Device::Cuda(index) => DeviceSpec::Cuda(index).to_string(),
            _ => DeviceSpec::Cpu.to_string(),
        }
    }

    /// The type as a user writes it; `auto` where it is as stored.
    pub fn dtype_name(self) -> String {
        match self.kind {
            Some(Kind::BFloat16) => DtypeSpec::BFloat16.to_string(),
            Some(_) => DtypeSpec::Float32.to_string(),
            None => DtypeSpec::Auto.to_string(),
        }
    }
}

/// Threads that libtorch computes with inside one operation.
pub fn threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1)
}

/// Sets [`threads`].
///
/// # Errors
/// [`Error::Threads`] for none and for far more than the machine has cores: the library that libtorch takes its threads from ends the
/// process where the system refuses one.
pub fn set_threads(threads: usize) -> Result<(), Error> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let most = (4 * cores).max(64);
    if !(1..=most).contains(&threads) {
        return Err(Error::Threads { asked: threads, most, cores });
    }
    tch::set_num_threads(threads as i32);
    Ok(())
}

/// N of `cuda:N`, in digits only.
fn cuda_index(text: &str) -> Option<usize> {
    let digits = text.strip_prefix("cuda:")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Why a CUDA device cannot be had.
fn shortage(count: usize) -> String {
    match count {
        0 => "there is no CUDA device, or this libtorch is one without CUDA".to_owned(),
        n => format!("there are only {n} CUDA devices, numbered from 0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for (text, spec) in [
            ("auto", DeviceSpec::Auto),
            ("cpu", DeviceSpec::Cpu),
            ("cuda:0", DeviceSpec::Cuda(0)),
            ("cuda:13", DeviceSpec::Cuda(13)),
        ] {
            assert_eq!(text.parse::<DeviceSpec>().unwrap(), spec);
            assert_eq!(spec.to_string(), text);
        }
        assert_eq!("cuda".parse::<DeviceSpec>().unwrap(), DeviceSpec::Cuda(0));
        for text in ["auto", "float32", "bfloat16"] {
            assert_eq!(text.parse::<DtypeSpec>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn unknown_names_list_the_known_ones() {
        for text in
            ["gpu", "cuda:", "cuda:-1", "cuda:+1", "CPU", "cuda:99999999999999999999999", ""]
        {
            let message = text.parse::<DeviceSpec>().unwrap_err().to_string();
            assert_eq!(message, format!("unknown device {text:?}; use auto, cpu, cuda or cuda:N"));
        }
        let message = "float16".parse::<DtypeSpec>().unwrap_err().to_string();
        assert_eq!(message, "unknown dtype \"float16\"; use auto, float32 or bfloat16");
    }

    #[test]
    fn cuda_that_is_not_there_is_an_error() {
        assert_eq!(DeviceSpec::Cpu.resolve().unwrap(), Device::Cpu);
        let message = DeviceSpec::Cuda(4096).resolve().unwrap_err().to_string();
        assert!(message.starts_with("device cuda:4096 was asked for, but there"), "{message}");
        assert!(message.ends_with("use cpu or auto"), "{message}");
    }
}
