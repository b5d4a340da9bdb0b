//! Build script of every package that links libtorch: its binaries find the library by rpath, so that no environment variable is
//! needed to run them.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB") else { return };
    println!("cargo:rerun-if-changed={folder}"); // set-up may have put another variant there
    // First beside the binary, so that one can be handed on with its libtorch.
    let here = match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("macos") => "@loader_path",
        _ => "$ORIGIN",
    };
    println!("cargo:rustc-link-arg=-Wl,-rpath,{here}/libtorch/lib");
    // `.libtorch` is a link into the user's cache: what it points to outlives the clone.
    let folder = std::fs::canonicalize(&folder).unwrap_or(folder.into());
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
    // Beside `torch/lib` of a layout for CUDA lie NVIDIA's libraries, of which programs open NVRTC by its name.
    let nvidia = folder.ancestors().nth(2).map(|layout| layout.join("nvidia"));
    let parts = nvidia.and_then(|nvidia| std::fs::read_dir(nvidia).ok()).into_iter().flatten();
    let mut libraries: Vec<_> = parts.flatten().map(|part| part.path().join("lib")).collect();
    libraries.sort();
    for library in libraries.iter().filter(|library| library.is_dir()) {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", library.display());
    }
}
