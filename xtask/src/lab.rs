//! `cargo xtask lab`: brings the lab up by hand, builds its parts, cleans up after a crash. The lab itself is a crate.
use anyhow::Result;
use burgee_lab::{GATEWAY_ADDRESS, Lab, Options, say};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

/// Boots and cleans the lab.
///
/// The lab is etcd, the API server, kubelet, containerd, istiod, Envoy, cluster DNS and Prometheus, built from package
/// registries into ~/.cache/burgee-lab (`$BURGEE_LAB_CACHE`), and run in a network namespace of its own. The first run
/// builds for about 15 minutes on two cores; later runs boot in under a minute.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Boot a cluster and keep it until ctrl-C.
    ///
    /// Prints a script that runs any command inside:
    ///
    ///   /var/lib/burgee-lab/lab/enter kubectl get pods -A
    Up {
        /// Name of the instance; two of different names can run at the same time.
        #[arg(long, default_value = "lab", value_parser = instance_name)]
        name: String,
        /// A released burgee binary to install with the chart in charts/burgee.
        #[arg(long, value_name = "FILE")]
        burgee: Option<PathBuf>,
    },
    /// Build or fetch the parts that the cache lacks, and stop.
    Parts,
    /// Remove what crashed instances left: processes, mounts, cgroups, networks, files.
    ///
    /// Instances that a living process holds are left alone, and so is everything that the lab did not start.
    Down,
}

/// Does what the command line asks.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    match arguments.action {
        Action::Up { name, burgee } => up(&Options::named(&name), burgee),
        Action::Parts => Lab::prepare(&Options::default()).map(drop),
        Action::Down => down(),
    }
}

fn up(options: &Options, burgee: Option<PathBuf>) -> Result<()> {
    let parts = Lab::prepare(options)?;
    let lab = Lab::boot(&parts, options)?;
    if let Some(binary) = burgee {
        let image = lab.install_operator(&binary, Path::new("charts/burgee"), &[])?;
        say(&format!("installed {image}"));
    }
    let enter = lab.enter_script().display().to_string();
    println!("kubeconfig  {}", lab.kubeconfig().display());
    println!("logs        {}", lab.logs().display());
    println!("look around {enter} kubectl get pods -A");
    println!("send        {enter} hey -z 5s -host app.example.com http://{GATEWAY_ADDRESS}/");
    println!("end         ctrl-C");
    loop {
        // The interrupt handler takes the lab down and ends this process.
        std::thread::park();
    }
}

fn down() -> Result<()> {
    let cleaned = Lab::clean(&Options::default())?;
    if cleaned.is_empty() {
        say("nothing to clean");
    }
    for name in cleaned {
        say(&format!("took {name} down"));
    }
    Ok(())
}

/// Reads the name of an instance.
pub(crate) fn instance_name(text: &str) -> Result<String> {
    burgee_lab::check_name(text).map(|()| text.to_owned())
}
