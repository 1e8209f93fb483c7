//! Assembles container images as tar archives. It runs no container tool and reads no registry.
use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// What one path of an image holds.
#[derive(Clone, Debug)]
enum Content {
    Directory,
    Copy(PathBuf),
    Text(String),
    Link(String),
}

/// An image under construction: one layer and its configuration.
#[derive(Clone, Debug)]
pub struct Image {
    references: Vec<String>,
    entries: Vec<(String, Content, u32)>,
    entrypoint: Vec<String>,
    user: String,
}

impl Image {
    /// An image under one or several names, with `/tmp` and the user `root`.
    pub fn new(references: &[&str]) -> Self {
        let image = Self {
            references: references.iter().map(|&name| name.to_owned()).collect(),
            entries: Vec::new(),
            entrypoint: Vec::new(),
            user: String::new(),
        };
        image
            .directory("tmp", 0o1777)
            .text("etc/passwd", "root:x:0:0:root:/:/bin/sh\napp:x:10001:10001:app:/:/bin/sh\n")
    }

    /// Adds a directory.
    #[must_use]
    pub fn directory(self, path: &str, mode: u32) -> Self {
        self.add(path, Content::Directory, mode)
    }

    /// Adds an executable copy of a file of this machine.
    #[must_use]
    pub fn program(self, path: &str, from: &Path) -> Self {
        self.add(path, Content::Copy(from.to_path_buf()), 0o755)
    }

    /// Adds a text file.
    #[must_use]
    pub fn text(self, path: &str, text: &str) -> Self {
        self.add(path, Content::Text(text.to_owned()), 0o644)
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.add(path, Content::Link(target.to_owned()), 0o777)
    }

    /// Adds busybox and links for the tools that scripts and probes use.
    #[must_use]
    pub fn busybox(self, busybox: &Path) -> Self {
        let tools =
            ["sh", "sleep", "wget", "nc", "ls", "cat", "echo", "sed", "kill", "ps", "env", "date", "grep", "nslookup"];
        let with = self.program("bin/busybox", busybox);
        tools.iter().fold(with, |image, tool| image.link(&format!("bin/{tool}"), "busybox"))
    }

    /// Adds the shared libraries that a program of this machine needs.
    ///
    /// # Errors
    /// When the program's libraries cannot be listed.
    pub fn libraries_of(self, program: &Path) -> Result<Self> {
        let output = std::process::Command::new("ldd").arg(program).output().context("run ldd")?;
        let needed = shared_libraries(&String::from_utf8_lossy(&output.stdout));
        Ok(needed.iter().fold(self, |image, path| image.program(path.trim_start_matches('/'), Path::new(path))))
    }

    /// Sets what the container runs.
    #[must_use]
    pub fn entrypoint(mut self, words: &[&str]) -> Self {
        self.entrypoint = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Sets the user that the container runs as.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// The image's first name.
    pub fn reference(&self) -> &str {
        self.references.first().map_or("", String::as_str)
    }

    /// Writes the archive into `directory`, unless one of the same inputs is there already, and returns its path.
    ///
    /// # Errors
    /// When an input cannot be read or the archive cannot be written.
    pub fn archive(&self, directory: &Path) -> Result<PathBuf> {
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
        let path = directory.join(format!("{}.tar", self.key()?));
        if path.exists() {
            return Ok(path);
        }
        let work = directory.join(format!(".making-{}-{}", std::process::id(), self.key()?));
        self.write(&work).with_context(|| format!("assemble image {}", self.reference()))?;
        fs::rename(&work, &path).with_context(|| format!("move {}", work.display()))?;
        Ok(path)
    }

    fn add(mut self, path: &str, content: Content, mode: u32) -> Self {
        if !self.entries.iter().any(|(known, _, _)| known == path) {
            self.entries.push((path.to_owned(), content, mode));
        }
        self
    }

    /// A digest of everything that decides the archive; copied files count by path, size and time.
    fn key(&self) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(format!("{self:?}"));
        for (_, content, _) in &self.entries {
            if let Content::Copy(from) = content {
                let data = fs::metadata(from).with_context(|| format!("look at {}", from.display()))?;
                hash.update(format!("{} {:?}", data.len(), data.modified().ok()));
            }
        }
        Ok(hex(&hash.finalize())[..16].to_owned())
    }

    fn write(&self, path: &Path) -> Result<()> {
        let layer_path = path.with_extension("layer");
        let layer = self.layer(&layer_path)?;
        let config = self.config(&layer).to_string();
        let config_name = format!("{}.json", hex(&Sha256::digest(&config)));
        let manifest =
            json!([{"Config": config_name, "RepoTags": self.references, "Layers": ["layer.tar"]}]).to_string();
        let mut archive = tar::Builder::new(File::create(path).context("create the archive")?);
        append(&mut archive, "manifest.json", manifest.as_bytes())?;
        append(&mut archive, &config_name, config.as_bytes())?;
        archive.append_path_with_name(&layer_path, "layer.tar").context("append the layer")?;
        archive.finish().context("finish the archive")?;
        fs::remove_file(&layer_path).context("remove the layer")
    }

    fn config(&self, layer: &str) -> serde_json::Value {
        let architecture = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" };
        json!({
            "architecture": architecture,
            "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint,
                "Env": ["PATH=/bin"],
                "WorkingDir": "/",
                "User": self.user,
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
        })
    }

    /// Writes the layer and returns the digest of its bytes.
    fn layer(&self, path: &Path) -> Result<String> {
        let mut archive = tar::Builder::new(Hashing { file: File::create(path)?, hash: Sha256::new() });
        for directory in self.parents() {
            archive.append_data(
                &mut header(tar::EntryType::Directory, 0o755, 0),
                format!("{directory}/"),
                std::io::empty(),
            )?;
        }
        for (name, content, mode) in &self.entries {
            append_entry(&mut archive, (name, content, *mode)).with_context(|| format!("append {name}"))?;
        }
        Ok(hex(&archive.into_inner()?.hash.finalize()))
    }

    /// Directories that entries lie in and that are not entries themselves, parents first.
    fn parents(&self) -> BTreeSet<String> {
        let names = self.entries.iter().flat_map(|(name, _, _)| Path::new(name).ancestors().skip(1));
        let found: BTreeSet<String> =
            names.map(|path| path.display().to_string()).filter(|name| !name.is_empty()).collect();
        found.into_iter().filter(|name| !self.entries.iter().any(|(entry, _, _)| entry == name)).collect()
    }
}

fn append_entry<W: Write>(archive: &mut tar::Builder<W>, entry: (&str, &Content, u32)) -> Result<()> {
    let (name, content, mode) = entry;
    match content {
        Content::Directory => {
            let mut header = header(tar::EntryType::Directory, mode, 0);
            archive.append_data(&mut header, format!("{name}/"), std::io::empty())?;
        }
        Content::Copy(from) => {
            let file = File::open(from).with_context(|| format!("open {}", from.display()))?;
            let size = file.metadata()?.len();
            archive.append_data(&mut header(tar::EntryType::Regular, mode, size), name, file.take(size))?;
        }
        Content::Text(text) => {
            let size = u64::try_from(text.len())?;
            archive.append_data(&mut header(tar::EntryType::Regular, mode, size), name, text.as_bytes())?;
        }
        Content::Link(target) => archive.append_link(&mut header(tar::EntryType::Symlink, mode, 0), name, target)?,
    }
    Ok(())
}

fn append<W: Write>(archive: &mut tar::Builder<W>, name: &str, bytes: &[u8]) -> Result<()> {
    let size = u64::try_from(bytes.len())?;
    archive
        .append_data(&mut header(tar::EntryType::Regular, 0o644, size), name, bytes)
        .with_context(|| format!("append {name}"))
}

/// A header without times and owners, so that the same content is the same archive.
fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// Absolute paths in the output of `ldd`, the loader included.
fn shared_libraries(output: &str) -> Vec<String> {
    let word = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(str::to_owned);
    output.lines().filter_map(word).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Digest of a file's content, as 12 hex digits: the tag of the image that holds it.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn content_tag(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    Ok(hex(&Sha256::digest(bytes))[..12].to_owned())
}

struct Hashing {
    file: File,
    hash: Sha256,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("burgee-image-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn files(archive: &Path) -> Vec<(String, Vec<u8>)> {
        let mut archive = tar::Archive::new(File::open(archive).unwrap());
        let read = |entry: std::io::Result<tar::Entry<'_, File>>| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().display().to_string(), bytes)
        };
        archive.entries().unwrap().map(read).collect()
    }

    #[test]
    fn an_archive_names_its_configuration_by_digest_and_its_layer_by_content() {
        let directory = scratch("layout");
        let image = Image::new(&["lab.local/a:1", "lab.local/a:2"]).text("etc/x", "hello").link("bin/sh", "busybox");
        let found = files(&image.entrypoint(&["./flagger"]).user("10001").archive(&directory).unwrap());
        let get = |name: &str| &found.iter().find(|(path, _)| path == name).unwrap().1;
        let manifest: serde_json::Value = serde_json::from_slice(get("manifest.json")).unwrap();
        assert_eq!(manifest[0]["RepoTags"], json!(["lab.local/a:1", "lab.local/a:2"]));
        let config_name = manifest[0]["Config"].as_str().unwrap();
        let config: serde_json::Value = serde_json::from_slice(get(config_name)).unwrap();
        assert_eq!(config_name, format!("{}.json", hex(&Sha256::digest(get(config_name)))));
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", hex(&Sha256::digest(get("layer.tar")))));
        assert_eq!(config["config"]["User"], "10001");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_layer_holds_the_parents_of_every_entry_before_it() {
        let directory = scratch("parents");
        let layer = directory.join("layer");
        Image::new(&["a:1"]).text("usr/lib/deep/file", "x").layer(&layer).unwrap();
        let names: Vec<String> = files(&layer).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["etc/", "usr/", "usr/lib/", "usr/lib/deep/", "tmp/", "etc/passwd", "usr/lib/deep/file"]);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn shared_libraries_are_the_absolute_paths_that_ldd_names() {
        let output = "\tlinux-vdso.so.1 (0x00007f)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x00007f)\n\t/lib64/ld-linux.so.2 (0x00007f)\n";
        assert_eq!(shared_libraries(output), ["/lib/x/libc.so.6", "/lib64/ld-linux.so.2"]);
        assert!(shared_libraries("\tnot a dynamic executable\n").is_empty());
    }
}
