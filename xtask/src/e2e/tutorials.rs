//! The tutorials, followed on a lab from their Markdown alone, block by block: commands run, files are applied, and what
//! pages say that commands print is compared.
//!
//! A page is followed as it stands, but for what is other on a lab than on a reader's cluster. [`differences`] has all of it:
//!
//! * Other tests run on the lab at the same time: a page has a namespace and a host of its own.
//! * They need the operator that is there: what a page installs, upgrades or removes of it is shown to the API server by a
//!   dry run. `docs/upgrade.md` is followed on a lab of its own, without any of that.
//! * The lab guards hosts by namespace: the page's namespace is there already, so its creation is a dry run, too.
//! * A minute is long: intervals of 30 s and more are 10 s, those of metrics too. Ten iterations are five, and weights go up
//!   by 10 % where they would by 5 %.
//!
//! Images are named as a reader would: the lab knows its own by the names that pages write, and `REGISTRY` is `lab.local`.
mod output;
mod page;
mod shell;

use super::stage::Stage;
use super::{Group, Test};
use anyhow::{Context, Result, bail, ensure};
use page::{Placed, Step};
use shell::Shell;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest first.
pub(crate) const TESTS: &[Test] = &[
    test("the_how_to_tutorial_can_be_followed", "how-to", |stage| follow(stage, &HOW_TO)),
    test("the_introductory_tutorial_can_be_followed", "intro", |stage| follow(stage, &INTRO)),
    test("the_istio_canary_tutorial_can_be_followed", "istio-canary", |stage| follow(stage, &ISTIO_CANARY)),
    test("the_production_tutorial_can_be_followed", "production", |stage| follow(stage, &PRODUCTION)),
    test("the_smi_tutorial_can_be_followed", "tutorial-smi", |stage| follow(stage, &SMI)),
];

const fn test(name: &'static str, space: &'static str, run: fn(&Stage<'_>) -> Result<()>) -> Test {
    Test { name, space, group: Group::Parallel, limit: Duration::from_mins(8), run }
}

/// A page, and what in it must be of its own beside other pages.
struct Page {
    file: &'static str,
    namespace: &'static str,
    host: &'static str,
}

const HOW_TO: Page = Page { file: "docs/tutorials/how-to.md", namespace: "default", host: "app.example.com" };
const INTRO: Page = Page { file: "docs/tutorials/intro.md", namespace: "test", host: "app.example.com" };
const ISTIO_CANARY: Page = Page { file: "docs/tutorials/istio-canary.md", namespace: "test", host: "app.example.com" };
const PRODUCTION: Page =
    Page { file: "docs/tutorials/production.md", namespace: "production", host: "frontend.example.com" };
const SMI: Page = Page { file: "docs/tutorials/smi.md", namespace: "test", host: "app.example.com" };

const RENDER: &str = "kubectl kustomize $REPO/kustomize/istio";

/// What stands in a page, and what is read in its place. Names are replaced only as whole words.
fn differences(page: &Page, stage: &Stage<'_>) -> Vec<(String, String)> {
    let (namespace, own) = (page.namespace, stage.namespace());
    let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    vec![
        pair("helm upgrade -i flagger ", "helm upgrade -i --dry-run=server flagger "),
        pair("helm uninstall flagger ", "helm uninstall --dry-run flagger "),
        pair("kubectl apply --server-side -f -", "kubectl apply --server-side --force-conflicts --dry-run=server -f -"),
        pair("kubectl delete --ignore-not-found -f -", "kubectl delete --ignore-not-found --dry-run=server -f -"),
        pair(
            &format!("kubectl create namespace {namespace}\n"),
            &format!("kubectl create namespace {own} --dry-run=client\n"),
        ),
        pair(RENDER, &format!("{RENDER} | sed 's#namespace: istio-system#namespace: {own}#'")),
        pair("interval: 1m\n", "interval: 10s\n"),
        pair("interval: 30s\n", "interval: 10s\n"),
        pair("iterations: 10\n", "iterations: 5\n"),
        pair("stepWeight: 5\n", "stepWeight: 10\n"),
        pair("canary weight 5\n", "canary weight 10\n"),
        pair(page.host, &stage.host()),
        pair(namespace, own),
    ]
}

/// Folders of the repository that pages use.
const USED: [&str; 3] = ["charts", "examples", "kustomize"];

fn follow(stage: &Stage<'_>, page: &Page) -> Result<()> {
    if stage.world().lab.is_none() {
        stage.note("not run: the images are those of a lab");
        return Ok(());
    }
    let text = fs::read_to_string(page.file).with_context(|| format!("read {}", page.file))?;
    let reader = Reader::sit_down(stage, page.namespace, differences(page, stage))?;
    reader.follow(stage, page.file, &text)
}

/// A part of another page, followed by a test that sets the scene for it.
pub(crate) struct Part {
    /// The page.
    pub file: &'static str,
    /// The heading above the part.
    pub heading: &'static str,
    /// The namespace that it writes; the test's stands for it.
    pub namespace: &'static str,
}

/// Follows a part of a page, of which nothing but the namespace is other than for a reader.
///
/// # Errors
/// When a command fails, or prints something else than the page says.
pub(crate) fn follow_part(stage: &Stage<'_>, part: &Part) -> Result<()> {
    let Part { file, heading, namespace } = part;
    let text = fs::read_to_string(file).with_context(|| format!("read {file}"))?;
    let differences = vec![((*namespace).to_owned(), stage.namespace().to_owned())];
    let reader = Reader::sit_down(stage, namespace, differences)?;
    reader.follow(stage, file, &page::part(&text, heading))
}

/// Whoever follows a page: with a shell, a working directory and a copy of the repository.
struct Reader {
    differences: Vec<(String, String)>,
    shell: Shell,
    work: PathBuf,
    deadline: Instant,
    printed: String,
    ran: usize,
    compared: usize,
    skipped: Vec<String>,
}

impl Reader {
    fn sit_down(stage: &Stage<'_>, namespace: &str, differences: Vec<(String, String)>) -> Result<Self> {
        let lab = stage.lab()?;
        let folder = lab.logs().join(format!("page-{}", stage.namespace()));
        let [work, programs, repository] = ["work", "bin", "repo"].map(|name| folder.join(name));
        // An earlier part of the same page may have left it.
        let _ = fs::remove_dir_all(&folder);
        for path in [&work, &programs] {
            fs::create_dir_all(path).with_context(|| format!("create {}", path.display()))?;
        }
        let burgee = fs::canonicalize(&stage.world().binary).context("find burgee")?;
        symlink(burgee, programs.join("burgee")).context("link burgee")?;
        for name in USED {
            copy(Path::new(name), &repository.join(name), namespace, stage.namespace())?;
        }
        let kubeconfig = folder.join("kubeconfig");
        fs::copy(lab.kubeconfig(), &kubeconfig).context("copy the kubeconfig")?;
        let begin = format!(
            "export KUBECONFIG='{}' REPO='{}' REGISTRY=lab.local PATH='{}':\"$PATH\"\n\
             kubectl config set-context --current --namespace={}\n",
            kubeconfig.display(),
            repository.display(),
            programs.display(),
            stage.namespace()
        );
        let mut shell = Shell::start(lab, &work, &folder)?;
        let deadline = stage.deadline();
        shell.run(&begin, deadline)?;
        let (printed, skipped) = (String::new(), Vec::new());
        Ok(Self { differences, shell, work, deadline, printed, ran: 0, compared: 0, skipped })
    }

    fn follow(mut self, stage: &Stage<'_>, file: &str, text: &str) -> Result<()> {
        let steps = page::steps(text).with_context(|| file.to_owned())?;
        for Placed { line, step } in &steps {
            self.take(step).with_context(|| format!("{file}:{line}"))?;
        }
        ensure!(self.ran > 0, "{file} has no commands");
        stage.note(&self.tally());
        Ok(())
    }

    fn take(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Write(name, text) => {
                fs::write(self.work.join(name), self.here(text)).with_context(|| format!("write {name}"))?;
            }
            Step::Run(block) => {
                let block = self.here(block);
                self.printed = self.shell.run(&block, self.deadline)?;
                self.ran += 1;
            }
            Step::Expect(text) => {
                if let Err(why) = output::compare(&self.here(text), &self.printed) {
                    bail!(why);
                }
                self.compared += 1;
            }
            Step::Skip(why) => self.skipped.push(why.clone()),
        }
        Ok(())
    }

    /// A text of the page as it is read on the lab.
    fn here(&self, text: &str) -> String {
        self.differences.iter().fold(text.to_owned(), |text, (from, to)| replace(&text, from, to))
    }

    fn tally(&self) -> String {
        let (ran, compared) = (self.ran, self.compared);
        let ran = format!("{ran} blocks of commands ran, {compared} outputs compared");
        let skipped = self.skipped.iter().map(|why| format!("one not run: {why}"));
        std::iter::once(ran).chain(skipped).collect::<Vec<_>>().join("; ")
    }
}

/// Replaces a text where it is not part of a longer word.
fn replace(text: &str, from: &str, to: &str) -> String {
    let is_word = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    let (mut done, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(from) {
        let (before, after) = (&rest[..at], &rest[at + from.len()..]);
        let begins = !from.starts_with(is_word) || !before.ends_with(is_word);
        let ends = !from.ends_with(is_word) || !after.starts_with(is_word);
        done.push_str(before);
        done.push_str(if begins && ends { to } else { from });
        rest = after;
    }
    done + rest
}

/// Copies a folder of the repository. Objects whose namespace is the page's are in the lab's.
fn copy(from: &Path, to: &Path, namespace: &str, own: &str) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let path = entry.context("read a folder")?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target, namespace, own)?;
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let text = replace(&text, &format!("namespace: {namespace}\n"), &format!("namespace: {own}\n"));
        fs::write(&target, text).with_context(|| format!("write {}", target.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    fn read(page: &Page) -> Vec<Step> {
        let text = fs::read_to_string(root().join(page.file)).unwrap();
        page::steps(&text).unwrap().into_iter().map(|placed| placed.step).collect()
    }

    #[test]
    fn every_tutorial_is_followed_and_what_is_not_run_of_it_is_known() {
        let pages = [&HOW_TO, &INTRO, &ISTIO_CANARY, &PRODUCTION, &SMI];
        let mut files: Vec<String> = fs::read_dir(root().join("docs/tutorials"))
            .unwrap()
            .map(|entry| format!("docs/tutorials/{}", entry.unwrap().file_name().display()))
            .collect();
        files.sort();
        assert_eq!(files, pages.map(|page| page.file));
        let skipped = pages.map(|page| {
            let skipped = read(page).into_iter().filter_map(|step| match step {
                Step::Skip(why) => Some(why),
                Step::Write(..) | Step::Run(_) | Step::Expect(_) => None,
            });
            let reasons: Vec<String> = skipped.collect();
            println!("{}: {} blocks are not run: {reasons:?}", page.file, reasons.len());
            reasons.len()
        });
        assert_eq!(skipped, [1, 1, 0, 0, 1], "a block that is not run is an exception");
    }

    #[test]
    fn names_are_replaced_only_as_whole_words() {
        let check = |text: &str, expected: &str| assert_eq!(replace(text, "test", "own"), expected);
        check("kubectl -n test delete canary", "kubectl -n own delete canary");
        check("http://tester.test/ load-test tests test", "http://tester.own/ load-test tests own");
        assert_eq!(replace("a -f -\n", "a -f -", "b"), "b\n");
    }
}
