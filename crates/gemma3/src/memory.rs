//! How much memory there is, and a check before it is used up.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use nvml_wrapper::Nvml;
use tch::Device;

use crate::{Error, Placement};

/// A number of bytes; displays as `8.6 GB` (powers of ten).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (divisor, unit) = match self.0 {
            0..1_000 => return write!(f, "{} B", self.0),
            1_000..1_000_000 => (1e3, "kB"),
            1_000_000..1_000_000_000 => (1e6, "MB"),
            _ => (1e9, "GB"),
        };
        write!(f, "{:.1} {unit}", self.0 as f64 / divisor)
    }
}

/// Bytes of memory that this process can still take: on Linux what the kernel says, or the rest of the control group's limit
/// (version 1 or 2) if that is less. `None` where it cannot be known.
pub fn available_memory() -> Option<Bytes> {
    available_under(Path::new("/")).map(Bytes)
}

/// Bytes that are free on a CUDA device, by the driver's management library; `None` on a CPU and where the driver cannot be asked.
///
/// libtorch numbers the devices that `CUDA_VISIBLE_DEVICES` leaves, the driver numbers all of them; on a machine with unlike GPUs
/// set `CUDA_DEVICE_ORDER=PCI_BUS_ID`, or the two may count in another order.
pub fn free_device_memory(device: Device) -> Option<Bytes> {
    let Device::Cuda(index) = device else { return None };
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let nvml = Nvml::init().ok()?;
    let device = match driver_name(visible.as_deref(), index)? {
        DriverName::Index(index) => nvml.device_by_index(index),
        DriverName::Uuid(uuid) => nvml.device_by_uuid(uuid),
    };
    Some(Bytes(device.ok()?.memory_info().ok()?.free))
}

impl Placement {
    /// Bytes that are free where weights are placed ([`available_memory`], [`free_device_memory`]); `None` where that is not known.
    pub fn free_memory(self) -> Option<Bytes> {
        if self.on_cpu() { available_memory() } else { free_device_memory(self.device) }
    }
}

/// How the driver calls a device.
#[derive(Debug, PartialEq, Eq)]
enum DriverName<'a> {
    Index(u32),
    Uuid(&'a str),
}

/// The driver's name of the device that libtorch calls `cuda:index`; `None` where the list does not tell.
fn driver_name(visible: Option<&str>, index: usize) -> Option<DriverName<'_>> {
    let Some(visible) = visible else { return u32::try_from(index).ok().map(DriverName::Index) };
    let entry = visible.split(',').nth(index)?.trim();
    match entry.parse() {
        Ok(number) => Some(DriverName::Index(number)),
        Err(_) if entry.starts_with("GPU-") => Some(DriverName::Uuid(entry)),
        Err(_) => None, // a slice of a device (MIG), or a shortened name
    }
}

/// Compares what is needed with what there is; `what` begins the message. Unknown memory (`None`) passes.
pub fn check_memory(what: &str, needed: Bytes, available: Option<Bytes>) -> Result<(), Error> {
    match available {
        Some(available) if available < needed => {
            Err(Error::Memory { what: what.to_owned(), needed, available })
        }
        _ => Ok(()),
    }
}

/// The same with another root of the file system, for tests.
fn available_under(root: &Path) -> Option<u64> {
    let system =
        fs::read_to_string(root.join("proc/meminfo")).ok().and_then(|text| mem_available(&text));
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let group = groups.lines().filter_map(|line| group_available(root, line)).min();
    [system, group].into_iter().flatten().min()
}

/// Bytes by the line `MemAvailable: N kB`.
fn mem_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// What is left in a control group and the groups above it, by a line `id:controllers:path` of /proc/self/cgroup.
fn group_available(root: &Path, line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let (mount, files) = match controllers {
        "" => ("sys/fs/cgroup", VERSION_2),
        list if list.split(',').any(|name| name == "memory") => ("sys/fs/cgroup/memory", VERSION_1),
        _ => return None,
    };
    let mount = root.join(mount);
    let inside = mount.join(path.trim_start_matches('/'));
    // In a container the path may be the host's, which is not mounted: the mount itself is then the group.
    let groups: Vec<PathBuf> = inside
        .ancestors()
        .take_while(|group| group.starts_with(&mount))
        .map(Path::to_owned)
        .collect();
    groups.iter().filter_map(|group| left_in(group, files)).min()
}

/// Names of a group's files: limit, usage, and the line of `memory.stat` with cache that is given up on demand.
type GroupFiles = (&'static str, &'static str, &'static str);
const VERSION_2: GroupFiles = ("memory.max", "memory.current", "inactive_file ");
const VERSION_1: GroupFiles =
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ");

/// What is left in one group: limit − (usage − reclaimable cache). `None` without a limit (`max`).
fn left_in(group: &Path, (limit, usage, reclaimable): GroupFiles) -> Option<u64> {
    let number = |name: &str| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let cache = stat
        .lines()
        .find_map(|line| line.strip_prefix(reclaimable)?.trim().parse().ok())
        .unwrap_or(0);
    Some(number(limit)?.saturating_sub(number(usage)?.saturating_sub(cache)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn bytes_are_written_for_people() {
        for (bytes, text) in
            [(999, "999 B"), (1_500, "1.5 kB"), (8_600_000_000, "8.6 GB"), (12_340_000, "12.3 MB")]
        {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn devices_are_found_by_the_drivers_name() {
        assert_eq!(driver_name(None, 2), Some(DriverName::Index(2)));
        assert_eq!(driver_name(Some("3, 5"), 1), Some(DriverName::Index(5)));
        assert_eq!(driver_name(Some("0,GPU-4f2a"), 1), Some(DriverName::Uuid("GPU-4f2a")));
        assert_eq!(driver_name(Some("MIG-1"), 0), None);
        assert_eq!(driver_name(Some("3"), 1), None);
        assert_eq!(free_device_memory(Device::Cpu), None);
        assert_eq!(free_device_memory(Device::Cuda(4096)), None);
    }

    #[test]
    fn the_kernels_word_without_groups() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(available_under(root.path()), None);
        write(root.path(), "proc/meminfo", "MemTotal: 9 kB\nMemAvailable:      4 kB\n");
        assert_eq!(available_under(root.path()), Some(4096));
    }

    #[test]
    fn the_tightest_group_of_version_2_counts() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "proc/meminfo", "MemAvailable: 4000 kB\n");
        write(root.path(), "proc/self/cgroup", "0::/a/b\n");
        write(root.path(), "sys/fs/cgroup/a/b/memory.max", "max\n");
        write(root.path(), "sys/fs/cgroup/a/b/memory.current", "5\n");
        assert_eq!(available_under(root.path()), Some(4_096_000));
        write(root.path(), "sys/fs/cgroup/a/memory.max", "1000\n");
        write(root.path(), "sys/fs/cgroup/a/memory.current", "700\n");
        write(root.path(), "sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 200\n");
        assert_eq!(available_under(root.path()), Some(500));
    }

    #[test]
    fn version_1_in_a_container() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "proc/self/cgroup", "7:cpu,cpuacct:/x\n5:memory:/docker/0123\n");
        write(root.path(), "sys/fs/cgroup/memory/memory.limit_in_bytes", "5000");
        write(root.path(), "sys/fs/cgroup/memory/memory.usage_in_bytes", "6000");
        write(root.path(), "sys/fs/cgroup/memory/memory.stat", "total_inactive_file 4000");
        assert_eq!(available_under(root.path()), Some(3000));
    }

    #[test]
    fn too_little_is_an_error_that_says_how_much() {
        assert!(check_memory("x", Bytes(5), Some(Bytes(5))).is_ok());
        assert!(check_memory("x", Bytes(5), None).is_ok());
        let error = check_memory("loading m", Bytes(17_200_000_000), Some(Bytes(8_000_000_000)))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "loading m needs about 17.2 GB of memory and 8.0 GB is available"
        );
    }
}
