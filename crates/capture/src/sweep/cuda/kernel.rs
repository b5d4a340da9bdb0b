//! The kernel `fold.cu`: compiled when it is first used, for the GPU that is there and the number of patches, and launched on what
//! libtorch has allocated.
//!
//! CUDA's driver and its compiler NVRTC, which comes with libtorch for CUDA, are looked for when the program runs: a build needs
//! neither.

use super::{Between, Folded};
use cudarc::driver::{CudaContext, CudaFunction, CudaStream, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::{CompileError, CompileOptions, compile_ptx_with_opts};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use tch::{Device, Kind, Tensor};

const SOURCE: &str = include_str!("fold.cu");
/// Threads of a block.
const THREADS: u32 = 256;
/// Query rows that a block of threads takes.
const ROWS: u32 = 16;
/// A row of them is held in registers: 16 numbers of each of three kinds by a thread.
const MOST_KEYS: usize = 4096;
/// The first compute capability with bfloat16 on tensor cores.
const LEAST_CAPABILITY: (i32, i32) = (8, 0);

/// The kernel for one GPU and one number of keys.
#[derive(Debug)]
pub(super) struct Kernel {
    stream: Arc<CudaStream>,
    function: CudaFunction,
    n_keys: usize,
}

impl Kernel {
    pub(super) fn is_made_for(n_keys: usize) -> bool {
        n_keys.is_multiple_of(4) && (4..=MOST_KEYS).contains(&n_keys)
    }

    /// The kernel for a device that is a GPU, or why there is none. Either is found out once.
    pub(super) fn of(device: Device, n_keys: usize) -> Result<Arc<Self>, String> {
        type Found = Result<Arc<Kernel>, String>;
        static FOUND: LazyLock<Mutex<HashMap<(usize, usize), Found>>> =
            LazyLock::new(Mutex::default);
        let Device::Cuda(index) = device else {
            return Err(format!("{device:?} is no NVIDIA GPU"));
        };
        let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Self::compile(index, n_keys).map(Arc::new);
        found.entry((index, n_keys)).or_insert_with(make).clone()
    }

    fn compile(index: usize, n_keys: usize) -> Result<Self, String> {
        require_libraries()?;
        let of_driver = |error| format!("CUDA's driver says {error:?}");
        // The context that libtorch uses, and its stream.
        let context = CudaContext::new(index).map_err(of_driver)?;
        let capability = context.compute_capability().map_err(of_driver)?;
        let (major, minor) = capability;
        if capability < LEAST_CAPABILITY {
            let (least, _) = LEAST_CAPABILITY;
            return Err(format!(
                "this GPU has compute capability {major}.{minor}, and {least}.0 is needed"
            ));
        }
        let options = vec![
            format!("--gpu-architecture=compute_{major}{minor}"),
            format!("-DN={n_keys}"),
            format!("-DROWS={ROWS}"),
            format!("-DTHREADS={THREADS}"),
        ];
        let name = Some("fold.cu".to_owned());
        let options = CompileOptions { options, name, ..CompileOptions::default() };
        let program = compile_ptx_with_opts(SOURCE, options).map_err(|error| match error {
            CompileError::CompileError { log, .. } => {
                format!("fold.cu does not compile: {}", log.to_string_lossy())
            }
            other => format!("NVRTC says {other:?}"),
        })?;
        let module = context.load_module(program).map_err(of_driver)?;
        let function = module.load_function("fold").map_err(of_driver)?;
        Ok(Self { stream: context.default_stream(), function, n_keys })
    }

    /// What the kernel makes of a block.
    ///
    /// # Panics
    /// Where the arrays are not what it takes, and where the driver cannot launch it: [`gemma3_tch::guard`] makes an error of it, as
    /// of what libtorch fails with.
    pub(super) fn fold(&self, between: &Between) -> Folded {
        let Between { scores, dattention, weights, scale } = between;
        let [h, t, b, n] =
            <[i64; 4]>::try_from(dattention.size()).expect("a gradient [H, T, b, n]");
        let (device, chunks) = (scores.device(), (b as u32).div_ceil(ROWS));
        let make = |shape: &[i64], kind| Tensor::empty(shape, (kind, device));
        let attention = make(&[h, b, 3, n], Kind::BFloat16);
        let dscores = make(&[h, t, b, 3, n], Kind::BFloat16);
        let of_chunks = make(&[i64::from(chunks), h, t, n], Kind::Float);

        let is_plain = |x: &Tensor, shape: &[i64]| {
            x.size() == shape
                && x.is_contiguous()
                && x.kind() == Kind::Float
                && x.device() == device
        };
        assert!(
            is_plain(scores, &[h, b, n])
                && is_plain(dattention, &[h, t, b, n])
                && is_plain(weights, &[t, b])
                && n == self.n_keys as i64
                && device == Device::Cuda(self.stream.context().ordinal()),
            "the kernel is for other arrays"
        );
        let [scores, dattention, weights, to_attention, to_dscores, to_chunks] =
            [scores, dattention, weights, &attention, &dscores, &of_chunks]
                .map(|x| x.data_ptr() as u64);
        let (scale, rows) = (*scale as f32, b as i32);
        let mut launch = self.stream.launch_builder(&self.function);
        launch.arg(&scores).arg(&dattention).arg(&weights).arg(&scale);
        launch.arg(&to_attention).arg(&to_dscores).arg(&to_chunks).arg(&rows);
        let grid = LaunchConfig {
            grid_dim: (chunks, h as u32, t as u32),
            block_dim: (THREADS, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: the arguments are those of the kernel, in its order. The arrays have the shapes that it states, for this
        // `N` and on this GPU (asserted, or made here), so it stays within them. libtorch frees memory in the order of its
        // stream, which is this one, so they live until the kernel is done.
        #[expect(unsafe_code, reason = "a kernel takes addresses")]
        let launched = unsafe { launch.launch(grid) };
        launched.unwrap_or_else(|error| panic!("launching fold.cu: {error:?}"));
        Folded { attention, dscores, row: of_chunks.sum_dim_intlist(0, false, Kind::Float) }
    }
}

/// The driver and NVRTC, of which the crate cudarc would panic to find none.
fn require_libraries() -> Result<(), String> {
    // SAFETY: both only ask the loader for a library by its name; what is loaded is NVIDIA's own.
    #[expect(unsafe_code, reason = "loading a library runs what it does when it is loaded")]
    let [driver, compiler] = unsafe {
        [cudarc::driver::sys::is_culib_present(), cudarc::nvrtc::sys::is_culib_present()]
    };
    if !driver {
        return Err("the loader finds no libcuda, CUDA's driver".to_owned());
    }
    if !compiler {
        return Err("the loader finds no libnvrtc, CUDA's compiler".to_owned());
    }
    Ok(())
}
