//! Where to compute and in which type, as a user writes it.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// Where to compute: `auto`, `cpu`, `cuda` or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DeviceSpec {
    /// The first CUDA device if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number; an error where there is none.
    Cuda(usize),
}

/// Which type weights and activations have: `auto`, `float32` or `bfloat16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
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

/// Sets how many threads compute inside one operation, for the whole process.
///
/// # Errors
/// None at all, and far more than the machine has cores: the library that computes ends the process where the system refuses a thread.
pub fn set_threads(threads: usize) -> Result<(), Error> {
    Ok(gemma3_tch::set_threads(threads)?)
}

impl DeviceSpec {
    pub(crate) fn of_model(self) -> gemma3_tch::DeviceSpec {
        match self {
            Self::Auto => gemma3_tch::DeviceSpec::Auto,
            Self::Cpu => gemma3_tch::DeviceSpec::Cpu,
            Self::Cuda(index) => gemma3_tch::DeviceSpec::Cuda(index),
        }
    }
}

impl DtypeSpec {
    pub(crate) fn of_model(self) -> gemma3_tch::DtypeSpec {
        match self {
            Self::Auto => gemma3_tch::DtypeSpec::Auto,
            Self::Float32 => gemma3_tch::DtypeSpec::Float32,
            Self::BFloat16 => gemma3_tch::DtypeSpec::BFloat16,
        }
    }
}

impl FromStr for DeviceSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Ok(match text.parse()? {
            gemma3_tch::DeviceSpec::Auto => Self::Auto,
            gemma3_tch::DeviceSpec::Cpu => Self::Cpu,
            gemma3_tch::DeviceSpec::Cuda(index) => Self::Cuda(index),
        })
    }
}

impl FromStr for DtypeSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Ok(match text.parse()? {
            gemma3_tch::DtypeSpec::Auto => Self::Auto,
            gemma3_tch::DtypeSpec::Float32 => Self::Float32,
            gemma3_tch::DtypeSpec::BFloat16 => Self::BFloat16,
        })
    }
}

/// As it is parsed.
impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of_model().fmt(f)
    }
}

/// As it is parsed.
impl fmt::Display for DtypeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of_model().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for text in ["auto", "cpu", "cuda:0", "cuda:13"] {
            assert_eq!(text.parse::<DeviceSpec>().unwrap().to_string(), text);
        }
        for text in ["auto", "float32", "bfloat16"] {
            assert_eq!(text.parse::<DtypeSpec>().unwrap().to_string(), text);
        }
        let message = "gpu".parse::<DeviceSpec>().unwrap_err().to_string();
        assert_eq!(message, "unknown device \"gpu\"; use auto, cpu, cuda or cuda:N");
    }
}
