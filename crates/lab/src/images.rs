//! Which images the lab's cluster knows. Every one is assembled here; nothing is pulled.
use crate::image::{Image, content_tag};
use crate::parts::Parts;
use anyhow::Result;
use std::path::Path;

/// Versions under which the one podinfo binary is known, so that a rollout has something to roll out.
pub const PODINFO_VERSIONS: &[&str] = &["6.0.0", "6.0.1", "6.0.2", "6.0.3", "6.0.4"];

/// The images that every cluster of the lab has.
///
/// # Errors
/// When the libraries of Envoy cannot be listed.
pub(crate) fn base(parts: &Parts) -> Result<Vec<Image>> {
    let busybox = parts.program("busybox");
    let envoy = parts.program("envoy");
    let podinfo: Vec<String> = PODINFO_VERSIONS.iter().map(|version| format!("lab.local/podinfo:{version}")).collect();
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
            .entrypoint(&["/bin/podinfo"]),
        Image::new(&["lab.local/tools:1"])
            .busybox(&busybox)
            .program("bin/hey", &parts.program("hey"))
            .entrypoint(&["/bin/sleep", "2147483647"]),
    ])
}

/// The operator's image from its released binary; its tag is a digest of the binary (contract: operations §6).
///
/// # Errors
/// When the binary is not there.
pub fn operator(parts: &Parts, binary: &Path) -> Result<Image> {
    let reference = format!("lab.local/burgee:{}", content_tag(binary)?);
    let certificates = Path::new("/etc/ssl/certs/ca-certificates.crt");
    let image = Image::new(&[&reference])
        .busybox(&parts.program("busybox"))
        .program("burgee", binary)
        .link("flagger", "burgee")
        .link("kubectl-burgee", "burgee")
        // The load tester is the same program by another name, and so is the hey that its tasks call.
        .link("loadtester", "burgee")
        .link("bin/hey", "../burgee")
        .libraries_of(binary)?
        .user("10001")
        .entrypoint(&["./flagger"]);
    if certificates.exists() { Ok(image.program("etc/ssl/certs/ca-certificates.crt", certificates)) } else { Ok(image) }
}
