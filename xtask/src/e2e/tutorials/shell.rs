//! A page's own shell, in which variables live from its first block to its last. It knows no Markdown.
use anyhow::{Context, Result, bail};
use burgee_lab::Lab;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Reads names of files with blocks, carries each out, and says when it is done. The blocks themselves have nothing to
/// read, and what they print goes to a file beside their own.
const LOOP: &str = "set -eo pipefail
exec 3<&0 4>&1 </dev/null
while IFS= read -r block <&3; do
  . \"$block\" >\"$block.out\" 2>&1
  echo done >&4
done
";

/// A shell within the lab; it ends when dropped, with everything that it has started.
pub(super) struct Shell {
    child: Child,
    blocks: Option<ChildStdin>,
    done: Receiver<()>,
    folder: PathBuf,
    count: usize,
}

impl Shell {
    /// Starts it in a working directory; its blocks and what they print are kept in `folder`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(lab: &Lab, work: &Path, folder: &Path) -> Result<Self> {
        let mut command = Command::new(lab.enter_script());
        command.args(["bash", "-c", LOOP]).current_dir(work).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("start bash")?;
        let output = child.stdout.take().context("read from bash")?;
        let (sender, done) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                if line.is_err() || sender.send(()).is_err() {
                    return;
                }
            }
        });
        Ok(Self { blocks: child.stdin.take(), child, done, folder: folder.to_owned(), count: 0 })
    }

    /// Carries a block out and returns what it has printed, both outputs together.
    ///
    /// # Errors
    /// When a command of it fails, or the deadline comes; with what was printed until then.
    pub(super) fn run(&mut self, block: &str, deadline: Instant) -> Result<String> {
        self.count += 1;
        let path = self.folder.join(format!("block-{:02}.sh", self.count));
        fs::write(&path, block).with_context(|| format!("write {}", path.display()))?;
        let pipe = self.blocks.as_mut().context("the shell has ended")?;
        writeln!(pipe, "{}", path.display()).context("write to bash")?;
        let ended = self.done.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        let printed = fs::read(path.with_extension("sh.out")).unwrap_or_default();
        let printed = String::from_utf8_lossy(&printed).into_owned();
        match ended {
            Ok(()) => Ok(printed),
            Err(RecvTimeoutError::Timeout) => bail!("it had not ended in time:\n{block}and had printed\n{printed}"),
            Err(RecvTimeoutError::Disconnected) => bail!("a command failed:\n{block}after\n{printed}"),
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.blocks = None;
        let grace = Instant::now() + Duration::from_millis(500);
        while Instant::now() < grace {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-s", "KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}
