//! On macOS an extension module is linked with the symbols of Python left open, which the linker must be told.

fn main() {
    pyo3_build_config::add_extension_module_link_args();
}
