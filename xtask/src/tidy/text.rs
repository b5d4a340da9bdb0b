//! Rules about the text of files.

use super::facade;

/// Every breach in one file; `path` is relative to the root, with slashes.
pub(crate) fn breaches(path: &str, text: &str) -> Vec<String> {
    let rules = [
        module_doc,
        trailing_space,
        machine_path,
        ignored_test,
        network,
        tensor_to_array,
        unsafe_code,
        printing,
        flag,
        model_name,
        manifest,
        facade::breach,
    ];
    let found = rules.into_iter().filter_map(|rule| rule(path, text));
    found.map(|(line, what)| format!("{path}:{line}: {what}")).collect()
}

/// A line number and what is wrong there.
type Breach = Option<(usize, &'static str)>;

fn module_doc(path: &str, text: &str) -> Breach {
    (is_rust(path) && !text.starts_with("//! ")).then_some((1, "the first line is no module doc"))
}

/// Fixtures stay as the program that made them wrote them.
fn trailing_space(path: &str, text: &str) -> Breach {
    if path.contains("/fixtures/") {
        return None;
    }
    let line = position(text, |line| line.ends_with([' ', '\t', '\r']))?;
    Some((line, "space at the end of the line"))
}

/// Folders of one machine have no place in the project.
fn machine_path(_path: &str, text: &str) -> Breach {
    // In halves, so that this file keeps its own rule.
    const FOLDERS: [(&str, &str); 4] =
        [("/home", "/"), ("/root", "/"), ("/Users", "/"), ("/tmp", "/")];
    let is_named = |line: &str| {
        FOLDERS.iter().any(|(front, back)| names_folder(line, &format!("{front}{back}")))
    };
    Some((position(text, is_named)?, "path of one machine"))
}

/// Whether an absolute path begins with `folder`; `target/tmp/…` is another thing.
fn names_folder(line: &str, folder: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "._-}$".contains(c);
    line.match_indices(folder).any(|(at, _)| !line[..at].ends_with(is_part))
}

fn ignored_test(path: &str, text: &str) -> Breach {
    let line = position(text, |line| line.trim_start().starts_with("#[ignore"))
        .filter(|_| is_rust(path))?;
    Some((line, "a test that is not run proves nothing"))
}

/// One file reaches out to the network; the server, and the command that starts it, are reached.
fn network(path: &str, text: &str) -> Breach {
    const HOME: &str = "crates/gemma3/src/hub/client.rs";
    const SIGNS: [&str; 4] = ["hf_hub::", "std::net::", "TcpStream", "reqwest::"];
    let serves = path.starts_with("crates/serve/") || path == "crates/cli/src/serve.rs";
    if !is_product(path) || path == HOME || serves {
        return None;
    }
    Some((code_position(text, &SIGNS)?, "only crates/gemma3/src/hub/client.rs touches the network"))
}

/// One file reads a tensor's numbers into an array; one more has its address, for a kernel on a GPU, where nobody else can read it.
fn tensor_to_array(path: &str, text: &str) -> Breach {
    const HOMES: [&str; 2] =
        ["crates/capture/src/convert.rs", "crates/capture/src/sweep/cuda/kernel.rs"];
    const ABOVE_MODEL: [&str; 3] = ["crates/capture/", "crates/explainer/", "crates/cli/"];
    const SIGNS: [&str; 7] = [
        "copy_data(",
        "data_ptr(",
        " Vec::try_from",
        "Vec::<f32>::try_from",
        "Vec::<f64>::try_from",
        "ArrayD::<f32>::try_from",
        "TryFrom<&Tensor>",
    ];
    let concerns = is_product(path)
        && !HOMES.contains(&path)
        && ABOVE_MODEL.iter().any(|folder| path.starts_with(folder));
    let line = code_position(text, &SIGNS).filter(|_| concerns)?;
    Some((line, "only crates/capture/src/convert.rs turns a tensor into an array"))
}

/// The compiler denies unsafe code everywhere, and this rule says where it may be allowed: one file looks at memory by itself, two
/// use instructions of some processors, one has a GPU run a kernel.
fn unsafe_code(path: &str, text: &str) -> Breach {
    const HOMES: [&str; 4] = [
        "crates/gemma3/src/row_product.rs",
        "crates/kernels/src/pairs.rs",
        "crates/quantised/src/products.rs",
        "crates/capture/src/sweep/cuda/kernel.rs",
    ];
    const SIGNS: [&str; 2] = ["expect(unsafe_code", "allow(unsafe_code"];
    if !is_product(path) || HOMES.contains(&path) {
        return None;
    }
    let line = code_position(text, &SIGNS)?;
    Some((
        line,
        "only row_product.rs of gemma3, pairs.rs of kernels, products.rs of quantised and cuda/kernel.rs of capture hold unsafe code",
    ))
}

/// A library names an option of its interface; the command adds its flag where it prints a message.
fn flag(path: &str, text: &str) -> Breach {
    // Arguments that one program gives to another, and a compiler's.
    const HOMES: [&str; 2] =
        ["crates/processor/src/worker.rs", "crates/capture/src/sweep/cuda/kernel.rs"];
    let concerns = is_product(path)
        && !path.starts_with("crates/cli/")
        && !HOMES.contains(&path)
        && !path.ends_with("/tests.rs");
    let code = text.split("\n#[cfg(test)]").next().unwrap_or_default();
    let is_bad = |line: &str| {
        !line.trim_start().starts_with("//") && (names_flag(line) || line.contains("cargo xtask"))
    };
    let line = position(code, is_bad).filter(|_| concerns)?;
    Some((
        line,
        "a flag of the command or of cargo xtask in a library; name the option of its interface",
    ))
}

/// Whether a line has `--` and a letter behind it in a text, or in one that goes on over lines.
fn names_flag(line: &str) -> bool {
    line.match_indices("--").any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '-')
            && line[at + 2..].starts_with(|c: char| c.is_ascii_lowercase())
    })
}

/// Engines and the sweep over patches know models by traits: one file joins them, one takes the words of the seam.
fn model_name(path: &str, text: &str) -> Breach {
    const HOMES: [&str; 2] = ["crates/capture/src/gemma.rs", "crates/capture/src/seam.rs"];
    const SIGNS: [&str; 11] = [
        "gemma3_tch",
        "Gemma3",
        "DecoderLayer",
        "DecoderTrace",
        "TextConfig",
        "TextModel",
        "EncoderLayer",
        "EncoderTrace",
        "VisionConfig",
        "VisionModel",
        "Projector",
    ];
    let concerns = path.starts_with("crates/capture/src/")
        && is_product(path)
        && !HOMES.contains(&path)
        && !path.ends_with("/tests.rs");
    let line = code_position(text, &SIGNS).filter(|_| concerns)?;
    Some((line, "only crates/capture/src/gemma.rs names a model; engines take it by its traits"))
}

/// Libraries write to nobody, and the command has one file that does: there control characters are escaped, and a stream that
/// takes no more ends no run. The process that renders a template answers its parent, through pipes.
fn printing(path: &str, text: &str) -> Breach {
    const HOMES: [&str; 2] = ["crates/cli/src/output.rs", "crates/processor/src/worker/child.rs"];
    const SIGNS: [&str; 9] = [
        "println!",
        "print!",
        "dbg!(",
        "stdout()",
        "stderr()",
        "io::stdout",
        "io::stderr",
        "/dev/stdout",
        "/dev/stderr",
    ];
    let is_test = path.ends_with("/tests.rs");
    let line = code_position(text, &SIGNS)
        .filter(|_| is_product(path) && !HOMES.contains(&path) && !is_test)?;
    Some((line, "only crates/cli/src/output.rs writes to stdout and stderr"))
}

fn manifest(path: &str, text: &str) -> Breach {
    let is_member = path.ends_with("/Cargo.toml");
    let follows =
        text.contains("[lints]\nworkspace = true") && text.contains("license.workspace = true");
    (is_member && !follows).then_some((1, "lints or licence are not those of the workspace"))
}

fn is_rust(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

/// Sources that are shipped: no tests, examples or benches.
fn is_product(path: &str) -> bool {
    is_rust(path) && path.starts_with("crates/") && path.contains("/src/")
}

fn position(text: &str, is_bad: impl Fn(&str) -> bool) -> Option<usize> {
    text.split('\n').position(is_bad).map(|index| index + 1)
}

/// First line of code, comments and inline tests left out, with one of the signs.
fn code_position(text: &str, signs: &[&str]) -> Option<usize> {
    let code = text.split("\n#[cfg(test)]").next().unwrap_or_default();
    position(code, |line| {
        !line.trim_start().starts_with("//") && signs.iter().any(|sign| line.contains(sign))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "crates/capture/src/a.rs";

    #[track_caller]
    fn check(path: &str, text: &str, expected: &[&str]) {
        assert_eq!(breaches(path, text), expected);
    }

    #[test]
    fn a_clean_file_passes() {
        check(FILE, "//! A file.\n\nfn a() {}\n", &[]);
        check("README.md", "# Title\n", &[]);
    }

    #[test]
    fn module_doc_is_wanted_in_rust_alone() {
        check(FILE, "fn a() {}\n", &["crates/capture/src/a.rs:1: the first line is no module doc"]);
        check("a.py", "def a(): ...\n", &[]);
    }

    #[test]
    fn trailing_space_is_found() {
        check("a.md", "one\ntwo \n", &["a.md:2: space at the end of the line"]);
        check("a.md", "one\r\n", &["a.md:1: space at the end of the line"]);
        check("tests/fixtures/a.json", "{ \n}\n", &[]);
    }

    #[test]
    fn machine_paths_are_found_and_relative_ones_are_not() {
        let home = format!("see {}{}", "/home", "/x/a\n");
        check("a.md", &home, &["a.md:1: path of one machine"]);
        check("a.md", &format!("open(\"{}{}\")\n", "/tmp", "/a"), &["a.md:1: path of one machine"]);
        check("a.md", &format!("target{}{}\n", "/tmp", "/a"), &[]);
    }

    #[test]
    fn ignored_tests_are_found() {
        check(
            FILE,
            "//! A.\n    #[ignore]\n",
            &["crates/capture/src/a.rs:2: a test that is not run proves nothing"],
        );
    }

    #[test]
    fn the_network_has_one_home() {
        let text = "//! A.\nuse hf_hub::Client;\n";
        check(
            FILE,
            text,
            &[
                "crates/capture/src/a.rs:2: only crates/gemma3/src/hub/client.rs touches the network",
            ],
        );
        check("crates/gemma3/src/hub/client.rs", text, &[]);
        check("crates/gemma3/tests/hub.rs", text, &[]);
        check(FILE, "//! A.\n// hf_hub::Client\n\n#[cfg(test)]\nuse std::net::TcpListener;\n", &[]);
    }

    #[test]
    fn the_conversion_has_one_home() {
        let text = "//! A.\nfn a() { t.f_copy_data(&mut v, n) }\n";
        let breach = "crates/capture/src/a.rs:2: only crates/capture/src/convert.rs turns a tensor into an array";
        check(FILE, text, &[breach]);
        check(FILE, "//! A.\nlet v: Vec<f32> = Vec::try_from(x);\n", &[breach]);
        check("crates/capture/src/convert.rs", text, &[]);
        check("crates/gemma3/src/a.rs", text, &[]);
    }

    #[test]
    fn unsafe_code_has_its_homes() {
        let text = "//! A.\n#[expect(unsafe_code, reason = \"fast\")]\n";
        let breach = "crates/capture/src/a.rs:2: only row_product.rs of gemma3, pairs.rs of kernels, products.rs of quantised and cuda/kernel.rs of capture hold unsafe code";
        check(FILE, text, &[breach]);
        check("crates/gemma3/src/row_product.rs", text, &[]);
        check("crates/kernels/src/pairs.rs", text, &[]);
        check("crates/quantised/src/products.rs", text, &[]);
        check("crates/capture/src/sweep/cuda/kernel.rs", text, &[]);
    }

    #[test]
    fn printing_has_one_home() {
        for line in ["eprintln!(\"a\");", "print!(\"a\");", "let out = std::io::stdout();"] {
            let text = format!("//! A.\n{line}\n");
            let breach =
                "crates/cli/src/a.rs:2: only crates/cli/src/output.rs writes to stdout and stderr";
            check("crates/cli/src/a.rs", &text, &[breach]);
            check("crates/cli/src/output.rs", &text, &[]);
            check("crates/processor/src/worker/child.rs", &text, &[]);
            check("crates/cli/tests/command/a.rs", &text, &[]);
            check("xtask/src/a.rs", &text, &[]);
        }
        check(FILE, "//! A.\n\n#[cfg(test)]\nmod tests { println!() }\n", &[]);
    }

    #[test]
    fn flags_belong_to_the_command() {
        let breach = "crates/capture/src/a.rs:2: a flag of the command or of cargo xtask in a library; name the option of its interface";
        check(FILE, "//! A.\n\"try --dtype float32\"\n", &[breach]);
        check(FILE, "//! A.\n\"(cargo xtask setup)\"\n", &[breach]);
        check(FILE, "//! A.\n// for --dtype\nlet n = a - -b;\n\n#[cfg(test)]\n\"--dtype\"\n", &[]);
        check("crates/cli/src/a.rs", "//! A.\n\"--dtype\"\n", &[]);
    }

    #[test]
    fn models_are_joined_in_one_file() {
        let breach = "crates/capture/src/a.rs:2: only crates/capture/src/gemma.rs names a model; engines take it by its traits";
        for line in [
            "use gemma3_tch::Qkv;",
            "fn a(model: &Gemma3) {}",
            "let c: TextConfig = b;",
            "fn a(layer: &EncoderLayer) {}",
            "fn a(trace: &EncoderTrace) {}",
            "let c: VisionConfig = b;",
            "fn a(tower: &VisionModel, projector: &Projector) {}",
        ] {
            let text = format!("//! A.\n{line}\n");
            check(FILE, &text, &[breach]);
            for file in ["patches.rs", "patches/a.rs"] {
                let path = format!("crates/capture/src/{file}");
                check(&path, &text, &[&breach.replace("crates/capture/src/a.rs", &path)]);
            }
            for home in ["gemma.rs", "seam.rs", "sweep/tests.rs"] {
                check(&format!("crates/capture/src/{home}"), &text, &[]);
            }
            check("crates/explainer/src/a.rs", &text, &[]);
        }
        let text =
            "//! A.\n/// See [`gemma3_tch::Qkv`].\n\n#[cfg(test)]\nuse gemma3_tch::Gemma3;\n";
        check(FILE, text, &[]);
    }

    #[test]
    fn manifests_follow_the_workspace() {
        check(
            "crates/a/Cargo.toml",
            "[package]\nlicense.workspace = true\n\n[lints]\nworkspace = true\n",
            &[],
        );
        let breach = "crates/a/Cargo.toml:1: lints or licence are not those of the workspace";
        check("crates/a/Cargo.toml", "[package]\nlicense.workspace = true\n", &[breach]);
    }
}
