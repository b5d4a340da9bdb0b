//! Rules about who depends on whom, read from `cargo metadata`.

use std::collections::{BTreeSet, HashMap, HashSet};

use anyhow::{Context, Result};
use serde_json::Value;

/// What a member of the workspace may depend on among the other members.
const TABLE: [(&str, &[&str]); 21] = [
    ("attention-relevancy", &[]),
    ("gemma3-processor", &["medical-pictures", "quantised-weights"]),
    ("quantised-weights", &[]),
    ("attention-kernels", &[]),
    ("gemma3-tch", &["attention-kernels", "gemma3-processor", "quantised-weights"]),
    ("attention-capture", &["attention-kernels", "gemma3-tch", "attention-relevancy"]),
    ("relevancy-visualization", &["attention-relevancy"]),
    ("explanation-record", &["attention-relevancy", "medical-pictures", "relevancy-visualization"]),
    ("medical-pictures", &[]),
    ("model-audit", &["relevancy-visualization"]),
    ("explanation-jobs", &["relevancy-visualization"]),
    ("explanation-server", &["explanation-jobs", "relevancy-visualization"]),
    ("phantom-radiograph", &[]),
    (
        "medgemma-explainer",
        &[
            "attention-relevancy",
            "gemma3-processor",
            "gemma3-tch",
            "attention-capture",
            "explanation-record",
            "medical-pictures",
            "model-audit",
            "relevancy-visualization",
        ],
    ),
    (
        "medgemma-explainer-cli",
        &[
            "explanation-jobs",
            "explanation-server",
            "medgemma-explainer",
            "model-audit",
            "phantom-radiograph",
        ],
    ),
    ("checkpoint-files", &[]),
    ("medgemma-explainer-python", &["attention-relevancy"]),
    ("xtask", &["checkpoint-files"]),
    ("integration-tests", ANY),
    ("benchmarks", ANY),
    (
        "experiments",
        &[
            "attention-capture",
            "attention-relevancy",
            "checkpoint-files",
            "gemma3-processor",
            "gemma3-tch",
            "medgemma-explainer",
            "model-audit",
            "phantom-radiograph",
            "quantised-weights",
            "relevancy-visualization",
        ],
    ),
];
/// Tests and benches reach everywhere.
const ANY: &[&str] = &["*"];

/// Packages that only the named members may use outside of tests.
const RESERVED: [(&str, &[&str]); 5] = [
    ("tch", &["gemma3-tch", "attention-capture", "integration-tests", "benchmarks", "experiments"]),
    ("hf-hub", &["gemma3-tch"]),
    ("reqwest", &["gemma3-tch"]),
    (
        "anyhow",
        &["medgemma-explainer-cli", "xtask", "integration-tests", "benchmarks", "experiments"],
    ),
    ("clap", &["medgemma-explainer-cli", "benchmarks", "experiments"]),
];

/// Members that know no format on disk. (`relevancy-visualization` reads region files, its own format; the record is that of `explanation-record`.)
const WITHOUT_SERDE: [&str; 3] = ["attention-relevancy", "attention-kernels", "attention-capture"];

/// Members that build on a machine without libtorch, with all their tests.
const WITHOUT_TORCH: [&str; 14] = [
    "attention-kernels",
    "explanation-jobs",
    "explanation-server",
    "medical-pictures",
    "quantised-weights",
    "attention-relevancy",
    "gemma3-processor",
    "relevancy-visualization",
    "explanation-record",
    "model-audit",
    "phantom-radiograph",
    "checkpoint-files",
    "medgemma-explainer-python",
    "xtask",
];

const LICENCE: &str = "MIT OR Apache-2.0";

/// The packages, what they declare, and what cargo resolved.
pub(crate) struct Graph {
    packages: HashMap<String, Package>,
    members: Vec<String>,
    default_members: Vec<String>,
}

#[derive(Default)]
struct Package {
    name: String,
    licence: Option<String>,
    /// Names of declared dependencies, those for tests left out.
    declared: BTreeSet<String>,
    /// Ids of resolved dependencies, those for tests included.
    resolved: Vec<String>,
    features: Vec<String>,
}

impl Graph {
    pub(crate) fn parse(metadata: &Value) -> Result<Self> {
        let mut packages = HashMap::new();
        for package in list(&metadata["packages"])? {
            packages.insert(string(&package["id"])?, Package::parse(package)?);
        }
        for node in list(&metadata["resolve"]["nodes"])? {
            let package = packages
                .get_mut(&string(&node["id"])?)
                .context("a resolved package is not listed")?;
            package.resolved = strings(&node["dependencies"])?;
            package.features = strings(&node["features"])?;
        }
        let members = strings(&metadata["workspace_members"])?;
        let default_members = strings(&metadata["workspace_default_members"])?;
        Ok(Self { packages, members, default_members })
    }

    /// Every breach of the rules about dependencies and licences.
    pub(crate) fn breaches(&self) -> Vec<String> {
        let mut found = self.torch_where_it_must_not_be();
        found.extend(self.wrong_default_members());
        for package in self.members.iter().filter_map(|id| self.packages.get(id)) {
            found.extend(self.outside_table(package));
            found.extend(reserved(package));
            found.extend(licence(package));
        }
        found
    }

    /// A breach if the feature of this member is off in this resolution.
    pub(crate) fn missing_feature(&self, member: &str, feature: &str) -> Option<String> {
        let on = self
            .member(member)
            .is_some_and(|(_, package)| package.features.iter().any(|f| f == feature));
        (!on).then(|| format!("{member}: a plain build of the workspace has no feature `{feature}`, so it is not tested"))
    }

    fn member(&self, name: &str) -> Option<(&str, &Package)> {
        let found = self
            .members
            .iter()
            .find(|id| self.packages.get(*id).is_some_and(|package| package.name == name));
        found.map(|id| (id.as_str(), &self.packages[id]))
    }

    fn torch_where_it_must_not_be(&self) -> Vec<String> {
        let check = |name: &&str| match self.member(name) {
            None => Some(format!("{name} is no member of the workspace")),
            Some((id, _)) if self.sees_torch(id) => {
                Some(format!("{name} depends on tch, if only through others"))
            }
            Some(_) => None,
        };
        WITHOUT_TORCH.iter().filter_map(check).collect()
    }

    fn sees_torch(&self, id: &str) -> bool {
        let (mut seen, mut stack) = (HashSet::new(), vec![id]);
        while let Some(id) = stack.pop() {
            let Some(package) = self.packages.get(id).filter(|_| seen.insert(id)) else { continue };
            if package.name == "tch" || package.name == "torch-sys" {
                return true;
            }
            stack.extend(package.resolved.iter().map(String::as_str));
        }
        false
    }

    fn wrong_default_members(&self) -> Option<String> {
        let names = |ids: &mut dyn Iterator<Item = &String>| -> BTreeSet<String> {
            ids.filter_map(|id| self.packages.get(id)).map(|package| package.name.clone()).collect()
        };
        let expected = names(&mut self.members.iter().filter(|id| !self.sees_torch(id)));
        let found = names(&mut self.default_members.iter());
        (found != expected).then(|| {
            format!("default-members are {found:?}, the members without libtorch {expected:?}")
        })
    }

    fn outside_table(&self, package: &Package) -> Vec<String> {
        let Some((_, allowed)) = TABLE.iter().find(|(name, _)| *name == package.name) else {
            return vec![format!("{} is not in the table of crates", package.name)];
        };
        let ours = |name: &&String| self.member(name).is_some() && *allowed != ANY;
        let outside =
            package.declared.iter().filter(ours).filter(|name| !allowed.contains(&name.as_str()));
        outside.map(|name| format!("{} must not depend on {name}", package.name)).collect()
    }
}

impl Package {
    fn parse(package: &Value) -> Result<Self> {
        let dependencies = list(&package["dependencies"])?.iter();
        let declared = dependencies.filter(|dependency| dependency["kind"] != "dev");
        Ok(Self {
            name: string(&package["name"])?,
            licence: package["license"].as_str().map(str::to_owned),
            declared: declared
                .map(|dependency| string(&dependency["name"]))
                .collect::<Result<_>>()?,
            ..Self::default()
        })
    }
}

fn reserved(package: &Package) -> Vec<String> {
    let is_free = |name: &str| {
        let rule = RESERVED.iter().find(|(reserved, _)| *reserved == name);
        let serde = WITHOUT_SERDE.contains(&package.name.as_str())
            && (name == "serde" || name == "serde_json");
        rule.is_none_or(|(_, users)| users.contains(&package.name.as_str())) && !serde
    };
    let taken = package.declared.iter().filter(|name| !is_free(name));
    taken.map(|name| format!("{} must not depend on {name}", package.name)).collect()
}

fn licence(package: &Package) -> Option<String> {
    let found = package.licence.as_deref();
    (found != Some(LICENCE))
        .then(|| format!("{}: licence is {found:?}, not {LICENCE}", package.name))
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().context("cargo metadata: a list is missing")
}

fn string(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).context("cargo metadata: a text is missing")
}

fn strings(value: &Value) -> Result<Vec<String>> {
    list(value)?.iter().map(string).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A workspace that keeps the rules, with `extra` given to one member as a further dependency.
    fn graph(extra: Option<(&str, &str)>) -> Graph {
        let torch =
            ["gemma3-tch", "attention-capture", "medgemma-explainer", "medgemma-explainer-cli"];
        let mut metadata =
            json!({ "packages": [], "resolve": { "nodes": [] }, "workspace_members": [] });
        metadata["workspace_default_members"] = json!(WITHOUT_TORCH);
        let members = TABLE.iter().map(|(name, _)| *name);
        for name in members.clone().chain(["tch", "serde", "hf-hub"]) {
            let mut uses = Vec::new();
            if torch.contains(&name)
                || ["integration-tests", "benchmarks", "experiments"].contains(&name)
            {
                uses.push(if name.starts_with("medgemma") { "gemma3-tch" } else { "tch" });
            }
            uses.extend(extra.filter(|(user, _)| *user == name).map(|(_, used)| used));
            let declared: Vec<_> =
                uses.iter().map(|used| json!({ "name": used, "kind": null })).collect();
            let declared = if name == "medgemma-explainer-cli" { vec![] } else { declared };
            let package =
                json!({ "id": name, "name": name, "license": LICENCE, "dependencies": declared });
            metadata["packages"].as_array_mut().unwrap().push(package);
            let node = json!({ "id": name, "dependencies": uses, "features": ["std"] });
            metadata["resolve"]["nodes"].as_array_mut().unwrap().push(node);
        }
        metadata["workspace_members"] = members.collect();
        Graph::parse(&metadata).unwrap()
    }

    #[test]
    fn the_rules_can_be_kept() {
        assert_eq!(graph(None).breaches(), [""; 0]);
    }

    #[test]
    fn torch_behind_another_crate_is_seen() {
        let found = graph(Some(("relevancy-visualization", "attention-capture"))).breaches();
        assert!(
            found
                .iter()
                .any(|b| b == "relevancy-visualization depends on tch, if only through others"),
            "{found:?}"
        );
        assert!(found.iter().any(|b| b.starts_with("default-members are")), "{found:?}");
        assert!(
            found
                .iter()
                .any(|b| b == "relevancy-visualization must not depend on attention-capture"),
            "{found:?}"
        );
    }

    #[test]
    fn reserved_packages_are_seen() {
        for (user, used) in [
            ("attention-relevancy", "serde"),
            ("attention-capture", "hf-hub"),
            ("medgemma-explainer", "tch"),
        ] {
            let found = graph(Some((user, used))).breaches();
            assert!(found.contains(&format!("{user} must not depend on {used}")), "{found:?}");
        }
    }

    #[test]
    fn licence_membership_and_features_are_seen() {
        let mut graph = graph(None);
        graph.packages.get_mut("xtask").unwrap().licence = None;
        graph.packages.get_mut("benchmarks").unwrap().name = "newcomer".to_owned();
        let found = graph.breaches();
        assert!(found.iter().any(|b| b.starts_with("xtask: licence is None")), "{found:?}");
        assert!(found.iter().any(|b| b == "newcomer is not in the table of crates"), "{found:?}");
        assert_eq!(graph.missing_feature("gemma3-tch", "std"), None);
        assert!(graph.missing_feature("gemma3-tch", "hub").is_some());
        assert!(graph.missing_feature("nobody", "hub").is_some());
    }
}
