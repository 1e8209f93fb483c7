//! A page as steps that a machine can follow; CONTRIBUTING.md, Tutorials, says what each kind of block is. It runs nothing.
use anyhow::{Context, Result, bail};

/// What is done with one block.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// A file is written: its name and its text.
    Write(String, String),
    /// Commands are given to the page's shell.
    Run(String),
    /// What the commands before it have printed is compared.
    Expect(String),
    /// Commands are not run, for this reason.
    Skip(String),
}

/// A step, and the line of the page where its block begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Placed {
    /// The line.
    pub line: usize,
    /// The step.
    pub step: Step,
}

/// What a block that is not run begins with.
const NOT_RUN: &str = "# not run: ";

/// The lines of a page under a heading of the second order, with blank ones for all others.
pub(super) fn part(page: &str, heading: &str) -> String {
    let heading = format!("## {heading}");
    let mut is_inside = false;
    let lines = page.lines().map(|line| {
        if line.starts_with("## ") {
            is_inside = line == heading;
        }
        if is_inside { format!("{line}\n") } else { "\n".to_owned() }
    });
    lines.collect()
}

/// The steps of a page, from top to bottom. Blocks that are only shown are none.
///
/// # Errors
/// When a block is of no known form, or does not end.
pub(super) fn steps(page: &str) -> Result<Vec<Placed>> {
    let mut steps = Vec::new();
    let mut lines = (1..).zip(page.lines());
    while let Some((line, text)) = lines.next() {
        let Some(form) = text.strip_prefix("```") else { continue };
        let mut block = String::new();
        loop {
            let (_, text) = lines.next().with_context(|| format!("the block at line {line} does not end"))?;
            if text == "```" {
                break;
            }
            block.push_str(text);
            block.push('\n');
        }
        let step = step(form, block).with_context(|| format!("the block at line {line}"))?;
        steps.extend(step.map(|step| Placed { line, step }));
    }
    Ok(steps)
}

fn step(form: &str, text: String) -> Result<Option<Step>> {
    if let Some(name) = form.strip_prefix("yaml file=") {
        return Ok(Some(Step::Write(name.to_owned(), text)));
    }
    match form {
        "sh" => Ok(Some(Step::Run(text))),
        "text" => Ok(Some(Step::Expect(text))),
        "sh skip" => {
            let why = text.lines().next().and_then(|line| line.strip_prefix(NOT_RUN));
            Ok(Some(Step::Skip(why.context("no reason is given why it is not run")?.to_owned())))
        }
        "yaml" | "yaml refused" | "yaml skip" | "promql" | "json" => Ok(None),
        other => bail!("a machine knows no {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_taken_apart_into_what_is_done() {
        let page = "# A\n```yaml file=a.yaml\na: 1\n```\ntext\n```sh\nkubectl\n```\n```text\nb\n```\n```yaml\nc: 1\n```\n\
                    ```sh skip\n# not run: no cloud\ngcloud\n```\n";
        let placed = |line: usize, step: Step| Placed { line, step };
        let expected = [
            placed(2, Step::Write("a.yaml".to_owned(), "a: 1\n".to_owned())),
            placed(6, Step::Run("kubectl\n".to_owned())),
            placed(9, Step::Expect("b\n".to_owned())),
            placed(15, Step::Skip("no cloud".to_owned())),
        ];
        assert_eq!(steps(page).unwrap(), expected);
    }

    #[test]
    fn a_part_of_a_page_keeps_its_line_numbers() {
        let page = "# A\n```sh\na\n```\n## B\n```sh\nb\n```\n## C\n```sh\nc\n```\n";
        let expected = [Placed { line: 6, step: Step::Run("b\n".to_owned()) }];
        assert_eq!(steps(&part(page, "B")).unwrap(), expected);
    }

    #[test]
    fn a_block_that_no_machine_could_follow_is_an_error() {
        let check = |page: &str, expected: &str| {
            let error = format!("{:#}", steps(page).unwrap_err());
            assert!(error.contains(expected), "{error}");
        };
        check("```sh\nkubectl\n", "does not end");
        check("```bash\nkubectl\n```\n", "a machine knows no \"bash\"");
        check("```sh skip\nkubectl\n```\n", "no reason");
    }
}
