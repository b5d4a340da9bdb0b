//! How good a processor is at products of bfloat16 numbers.

use std::sync::LazyLock;

/// How good the processor is at products of bfloat16 numbers, beside those of float32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bfloat16 {
    /// Faster.
    Fast,
    /// It has an instruction for them, and is slower with it: Intel's without AMX.
    Slow,
    /// It has no instruction for them.
    Emulated,
}

impl Bfloat16 {
    /// That of this processor.
    pub fn here() -> Self {
        static HERE: LazyLock<Bfloat16> = LazyLock::new(detected);
        *HERE
    }
}

#[cfg(target_arch = "x86_64")]
fn detected() -> Bfloat16 {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    /// In EDX of leaf 7: products of bfloat16 tiles.
    const AMX_BF16: u32 = 1 << 22;
    if !is_x86_feature_detected!("avx512bf16") {
        return Bfloat16::Emulated;
    }
    let vendor = __cpuid(0);
    let is_intel =
        [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).concat() == b"GenuineIntel";
    let has_tiles = 7 <= vendor.eax && __cpuid_count(7, 0).edx & AMX_BF16 != 0;
    if is_intel && !has_tiles { Bfloat16::Slow } else { Bfloat16::Fast }
}

/// Other processors are left to libtorch: none was measured.
#[cfg(not(target_arch = "x86_64"))]
fn detected() -> Bfloat16 {
    Bfloat16::Fast
}
