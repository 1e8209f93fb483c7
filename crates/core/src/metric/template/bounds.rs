//! What a query template may ask for. Each bound is looked at before the engine reads the template or calls a function,
//! for the engine itself has none: it nests calls for each `{{ else if }}` until the stack is gone, and that ends the
//! whole process.

use gotmpl::{TemplateError, Value};

use super::{Model, RenderError};

/// Longest template and longest query, in bytes.
pub const QUERY_LIMIT_BYTES: usize = 64 * 1024;

/// Longest text that a template may compute with, in bytes: a value of the model, the arguments of a printing function,
/// and what it makes of them.
pub(super) const TEXT_LIMIT_BYTES: usize = 16 * 1024;

/// Longest value of all variables of a metric together, in bytes.
const VARIABLES_LIMIT_BYTES: usize = QUERY_LIMIT_BYTES;

/// Longest format, in bytes.
const FORMAT_LIMIT_BYTES: usize = 1024;

/// Digits of the widest padding or precision that a format may ask for.
const WIDTH_LIMIT_DIGITS: usize = 3;

/// Actions of a template: every `{{`.
const ACTION_LIMIT: usize = 1_000;

/// Blocks and branches of a template: every `{{ if`, `{{ with`, `{{ range` and `{{ else`. All of them count, not the deepest
/// nesting alone: that is the engine's to know. Parentheses it counts itself, up to 100.
const BLOCK_LIMIT: usize = 40;

/// Calls of functions that one rendering may make.
pub(super) const CALL_LIMIT: u32 = 2_000;

/// Bytes that all turns of all `range` loops of one template may walk over.
const WALK_LIMIT_BYTES: usize = 256 * 1024;

/// Longest error, in bytes: the engine quotes what it does not understand.
const ERROR_LIMIT_BYTES: usize = 512;

/// Turns that all `range` loops of a template may take together: many of a short one, few of a long one. Never 0, which
/// would mean any number.
pub(super) fn range_limit(template: &str) -> u64 {
    u64::try_from(WALK_LIMIT_BYTES / template.len().max(64)).unwrap_or(1).max(1)
}

/// Refuses what the engine lets pass: templates that are too large or too branched for it, templates that call each other,
/// which takes exponential time within its own limits, and a block that is not closed, or not open, which would silently
/// cut the query.
pub(super) fn check_template(template: &str) -> Result<(), RenderError> {
    if template.len() > QUERY_LIMIT_BYTES {
        return Err(RenderError(format!("template is longer than {QUERY_LIMIT_BYTES} bytes")));
    }
    let (mut actions, mut blocks, mut open) = (0, 0, 0_usize);
    for action in actions_of(template) {
        actions += 1;
        let word: String = action.chars().take_while(char::is_ascii_alphanumeric).collect();
        match word.as_str() {
            "template" | "define" | "block" => {
                return Err(RenderError(format!("{{{{ {word} }}}} is not supported in a query")));
            }
            "if" | "range" | "with" => {
                blocks += 1;
                open += 1;
            }
            "end" | "else" if open == 0 => return Err(RenderError(format!("unexpected {{{{ {word} }}}}"))),
            "else" => blocks += 1,
            "end" => open -= 1,
            _ => {}
        }
    }
    if actions > ACTION_LIMIT {
        return Err(RenderError(format!("template has more than {ACTION_LIMIT} actions")));
    }
    if blocks > BLOCK_LIMIT {
        return Err(RenderError(format!("template has more than {BLOCK_LIMIT} blocks")));
    }
    if open == 0 { Ok(()) } else { Err(RenderError("unexpected EOF: an {{ end }} is missing".to_owned())) }
}

/// What follows each `{{`, from its first word on. It takes those in texts and comments for actions as well, so none is
/// missed, whatever the engine makes of the rest.
fn actions_of(template: &str) -> impl Iterator<Item = &str> {
    template.split("{{").skip(1).map(|action| action.trim_start_matches('-').trim_start())
}

/// Refuses a model with texts so long that a template could spend its time on comparing them.
pub(super) fn check_model(model: &Model) -> Result<(), RenderError> {
    let known = model.texts().into_iter().chain(model.variables.iter().map(|(key, text)| (key.as_str(), text)));
    if let Some((word, _)) = known.into_iter().find(|(_, text)| text.len() > TEXT_LIMIT_BYTES) {
        return Err(RenderError(format!("{} is longer than {TEXT_LIMIT_BYTES} bytes", shortened(word))));
    }
    let all: usize = model.variables.iter().map(|(key, text)| key.len() + text.len()).sum();
    if all > VARIABLES_LIMIT_BYTES {
        return Err(RenderError(format!("the variables are longer than {VARIABLES_LIMIT_BYTES} bytes together")));
    }
    Ok(())
}

/// Refuses arguments of a printing function that are too long, and a format that pads without end.
pub(super) fn check_arguments(word: &str, arguments: &[Value]) -> gotmpl::Result<()> {
    let too_long = || TemplateError::Exec(format!("{word}: arguments are too long"));
    let mut left = TEXT_LIMIT_BYTES;
    for argument in arguments {
        left = left.checked_sub(argument.to_string().len()).ok_or_else(too_long)?;
    }
    match arguments.first() {
        Some(Value::String(format)) if word == "printf" => check_format(format),
        _ => Ok(()),
    }
}

/// Refuses a result that later calls could not be given.
pub(super) fn check_result(word: &str, text: &str) -> gotmpl::Result<()> {
    if text.len() > TEXT_LIMIT_BYTES {
        return Err(TemplateError::Exec(format!("{word}: the text is longer than {TEXT_LIMIT_BYTES} bytes")));
    }
    Ok(())
}

fn check_format(format: &str) -> gotmpl::Result<()> {
    if format.len() > FORMAT_LIMIT_BYTES {
        return Err(TemplateError::Exec("printf: arguments are too long".to_owned()));
    }
    for verb in format.split('%').skip(1) {
        let is_flag = |letter: &char| letter.is_ascii_digit() || "+-# .*[]".contains(*letter);
        let flags: String = verb.chars().take_while(is_flag).collect();
        let is_wide = |number: &str| number.len() > WIDTH_LIMIT_DIGITS;
        if flags.contains('*') || flags.split(|letter: char| !letter.is_ascii_digit()).any(is_wide) {
            return Err(TemplateError::Exec(format!("printf: a width of %{} is not supported", shortened(&flags))));
        }
    }
    Ok(())
}

/// An error of the engine as a sentence of a length that an event has room for.
pub(super) fn sentence(error: &TemplateError) -> RenderError {
    if matches!(error, TemplateError::Write) {
        return RenderError(format!("query is longer than {QUERY_LIMIT_BYTES} bytes"));
    }
    RenderError(shortened(&error.to_string()).to_owned())
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(ERROR_LIMIT_BYTES)]
}

#[cfg(test)]
mod tests;
