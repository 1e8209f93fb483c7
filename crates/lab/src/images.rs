//! Which images the lab's cluster knows. Every one is assembled here; nothing is pulled.
use crate::image::{Image, content_tag};
use crate::parts::{ALERTMANAGER_TEMPLATES, Parts};
use crate::prerequisites::found;
use anyhow::{Context, Result};
use std::path::Path;

/// Versions under which the one podinfo binary is known, so that a rollout has something to roll out.
pub const PODINFO_VERSIONS: [&str; 5] = ["6.0.0", "6.0.1", "6.0.2", "6.0.3", "6.0.4"];

/// Names under which podinfo is known: that of the tests, and the one that the pages for users write.
const PODINFO_NAMES: [&str; 2] = ["lab.local/podinfo", "ghcr.io/stefanprodan/podinfo"];

/// The images that every cluster of the lab has.
///
/// # Errors
/// When the libraries of Envoy cannot be listed.
pub(crate) fn base(parts: &Parts) -> Result<Vec<Image>> {
    let busybox = parts.program("busybox");
    let envoy = parts.program("envoy");
    let podinfo: Vec<String> =
        PODINFO_NAMES.iter().flat_map(|name| PODINFO_VERSIONS.map(|version| format!("{name}:{version}"))).collect();
    let podinfo: Vec<&str> = podinfo.iter().map(String::as_str).collect();
    Ok(vec![
        Image::new(&["lab.local/pause:1"]).busybox(&busybox).entrypoint(&["/bin/sleep", "2147483647"]),
        Image::new(&["lab.local/envoy:1"])
            .busybox(&busybox)
            .program("bin/envoy", &envoy)
            .libraries_of(&envoy)?
            .entrypoint(&["/bin/envoy"]),
        Image::new(&podinfo)
            .busybox(&busybox)
            .program("bin/podinfo", &parts.program("podinfo"))
            // As the published image has it, where it is started as ./podinfo.
            .link("podinfo", "bin/podinfo")
            .entrypoint(&["/bin/podinfo"]),
        Image::new(&["lab.local/tools:1"])
            .busybox(&busybox)
            .program("bin/hey", &parts.program("hey"))
            .entrypoint(&["/bin/sleep", "2147483647"]),
    ])
}

/// The operator's image from its released binary; its tag is a digest of the binary (contract: operations §6). By the
/// version that the charts name it is known, too, and as the load tester, which is the same program: so it has the bash and
/// the curl that tasks call.
///
/// # Errors
/// When the binary is not there.
pub fn operator(parts: &Parts, binary: &Path) -> Result<Image> {
    let own = format!("lab.local/burgee:{}", content_tag(binary)?);
    let charts = ["burgee", "burgee-loadtester"].map(|name| format!("lab.local/{name}:{}", env!("CARGO_PKG_VERSION")));
    let of_machine = |name: &str| found(name).with_context(|| format!("{name} is not on this machine"));
    let (bash, curl) = (of_machine("bash")?, of_machine("curl")?);
    let certificates = Path::new("/etc/ssl/certs/ca-certificates.crt");
    let image = Image::new(&[&own, &charts[0], &charts[1]])
        .busybox(&parts.program("busybox"))
        .program("burgee", binary)
        .link("flagger", "burgee")
        .link("kubectl-burgee", "burgee")
        // The load tester is the same program by another name, and so is the hey that its tasks call.
        .link("loadtester", "burgee")
        .link("bin/hey", "../burgee")
        .program("bin/bash", &bash)
        .program("bin/curl", &curl)
        .libraries_of(binary)?
        .libraries_of(&bash)?
        .libraries_of(&curl)?
        .user("10001")
        .entrypoint(&["./flagger"]);
    if certificates.exists() { Ok(image.program("etc/ssl/certs/ca-certificates.crt", certificates)) } else { Ok(image) }
}

/// Debian's Alertmanager, for the tests of alerts.
///
/// # Errors
/// When its libraries cannot be listed.
pub fn alertmanager(parts: &Parts) -> Result<Image> {
    let program = parts.program("alertmanager");
    let image = Image::new(&["lab.local/alertmanager:debian"])
        .program("bin/alertmanager", &program)
        .libraries_of(&program)?
        .entrypoint(&["/bin/alertmanager"]);
    let templates = ["default.tmpl", "email.tmpl"];
    let add = |image: Image, name: &str| {
        image.program(&format!("{ALERTMANAGER_TEMPLATES}/{name}"), &parts.alertmanager_templates().join(name))
    };
    Ok(templates.into_iter().fold(image, add))
}
