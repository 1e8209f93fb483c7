//! Query templates: Go's text/template with the functions of the contract (api §2). A template can neither run away nor
//! see anything but its model.

use std::collections::BTreeMap;
use std::fmt;

use gotmpl::{MissingKey, Template, TemplateError, ToValue, Value};

/// Longest template and longest query, in bytes.
pub const QUERY_LIMIT_BYTES: usize = 64 * 1024;

/// Longest argument list that a printing function takes, in bytes: `printf` on its own result doubles it.
const PRINT_LIMIT_BYTES: usize = QUERY_LIMIT_BYTES;

/// Longest format: each of its verbs may ask for 64 KiB of padding.
const FORMAT_LIMIT_BYTES: usize = 1024;

/// Turns that all `range` loops of one template may take together.
const RANGE_LIMIT: u64 = 10_000;

/// What a query template may know of a canary (contract: api §2, "Model values").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// Name of the canary.
    pub name: String,
    /// Namespace of the canary.
    pub namespace: String,
    /// Name of the target.
    pub target: String,
    /// Name of the service, or of the target.
    pub service: String,
    /// Name of the ingress, or of the target.
    pub ingress: String,
    /// Name of the route, or of the target; for Knative the latest revision.
    pub route: String,
    /// Interval of the metric, as text such as `1m`.
    pub interval: String,
    /// `templateVariables` of the metric.
    pub variables: BTreeMap<String, String>,
}

/// Renders a query template. The error is the template's, for the user; an unknown variable is one.
pub fn render(template: &str, model: &Model) -> Result<String, RenderError> {
    if template.len() > QUERY_LIMIT_BYTES {
        return Err(RenderError(format!("template is longer than {QUERY_LIMIT_BYTES} bytes")));
    }
    refuse_odd_actions(template)?;
    let mut query = Bounded(String::new());
    let parsed = functions(Template::new("query").missing_key(MissingKey::Error), model)
        .max_range_iters(RANGE_LIMIT)
        .parse(template)
        .map_err(|error| RenderError(error.to_string()))?;
    // An empty map, not nil: a stray `{{ .name }}` is then an error instead of `<no value>` in the query.
    let nothing = BTreeMap::<String, String>::new().to_value();
    parsed.execute_fmt(&mut query, &nothing).map_err(|error| RenderError(sentence(&error)))?;
    Ok(query.0)
}

/// The query in one line: every run of white space is one space, as it is sent to Prometheus (contract: metrics §6).
pub fn collapse(query: &str) -> String {
    query.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Why a template gives no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RenderError(String);

fn sentence(error: &TemplateError) -> String {
    if matches!(error, TemplateError::Write) {
        return format!("query is longer than {QUERY_LIMIT_BYTES} bytes");
    }
    error.to_string()
}

/// Refuses what the engine lets pass: templates that call each other take exponential time within its own limits, and
/// a block that is not closed, or not open, would silently cut the query.
fn refuse_odd_actions(template: &str) -> Result<(), RenderError> {
    let mut open = 0_usize;
    for action in template.split("{{").skip(1).map(|action| action.trim_start_matches('-').trim_start()) {
        let word: String = action.chars().take_while(char::is_ascii_alphanumeric).collect();
        match word.as_str() {
            "template" | "define" | "block" => {
                return Err(RenderError(format!("{{{{ {word} }}}} is not supported in a query")));
            }
            "if" | "range" | "with" => open += 1,
            "end" | "else" if open == 0 => return Err(RenderError(format!("unexpected {{{{ {word} }}}}"))),
            "end" => open -= 1,
            _ => {}
        }
    }
    if open == 0 { Ok(()) } else { Err(RenderError("unexpected EOF: an {{ end }} is missing".to_owned())) }
}

fn functions(template: Template, model: &Model) -> Template {
    let Model { name, namespace, target, service, ingress, route, interval, variables } = model;
    let texts = [
        ("name", name),
        ("namespace", namespace),
        ("target", target),
        ("service", service),
        ("ingress", ingress),
        ("route", route),
        ("interval", interval),
    ];
    let mut template = constant(template, "variables", variables.to_value()).func("index", index);
    for (word, text) in texts {
        template = constant(template, word, text.to_value());
    }
    for word in ["print", "println", "printf", "html", "js", "urlquery"] {
        template = template.func(word, move |arguments| print(word, arguments));
    }
    template
}

fn constant(template: Template, word: &'static str, value: Value) -> Template {
    template.func(word, move |arguments| match arguments.len() {
        0 => Ok(value.clone()),
        got => Err(TemplateError::ArgCount { name: word.to_owned(), expected: 0, got }),
    })
}

/// Go's `index`: a key that a map of strings does not have is the empty string, unlike `variables.key`, which is an error.
fn index(arguments: &[Value]) -> gotmpl::Result<Value> {
    let (first, rest) =
        arguments.split_first().ok_or_else(|| TemplateError::Exec("index wants a map or a list".to_owned()))?;
    rest.iter().try_fold(first.clone(), |value, key| {
        let item = value.index(key)?;
        Ok(if matches!(item, Value::Nil) { Value::String("".into()) } else { item })
    })
}

/// One of the engine's printing functions on arguments of bounded size: each may repeat what it is given, and templates
/// of a few lines could double a text until memory is gone.
fn print(word: &str, arguments: &[Value]) -> gotmpl::Result<Value> {
    let sizes: Vec<usize> = arguments.iter().map(|argument| argument.to_string().len()).collect();
    let format_size = if word == "printf" { sizes.first().copied().unwrap_or(0) } else { 0 };
    if sizes.iter().sum::<usize>() > PRINT_LIMIT_BYTES || format_size > FORMAT_LIMIT_BYTES {
        return Err(TemplateError::Exec(format!("{word}: arguments are too long")));
    }
    let operands: Vec<String> = (0..arguments.len()).map(|position| format!("(index . {position})")).collect();
    let call = operands.join(" ");
    let arguments = Value::List(arguments.to_vec().into());
    let text = Template::new(word).parse(&format!("{{{{ {word} {call} }}}}"))?.execute_to_string(&arguments)?;
    Ok(Value::String(text.into()))
}

/// A text that refuses to grow beyond the limit of a query.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > QUERY_LIMIT_BYTES {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn model() -> Model {
        Model {
            name: "podinfo".into(),
            namespace: "test".into(),
            target: "podinfo-target".into(),
            service: "podinfo-service".into(),
            ingress: "podinfo-ingress".into(),
            route: "podinfo-route".into(),
            interval: "1m".into(),
            variables: BTreeMap::from([("code".into(), "5..".into()), ("dashed-key".into(), "x".into())]),
        }
    }

    fn check(template: &str, expected: &str) {
        assert_eq!(render(template, &model()).map(|query| collapse(&query)), Ok(expected.to_owned()), "{template}");
    }

    fn check_error(template: &str, part: &str) {
        let error = render(template, &model()).expect_err(template).to_string();
        assert!(error.contains(part), "{template}: {error}");
    }

    #[test]
    fn functions_stand_for_the_canary() {
        check("{{ name }} {{namespace}} {{ target }}", "podinfo test podinfo-target");
        check("{{ service }} {{ ingress }} {{ route }}", "podinfo-service podinfo-ingress podinfo-route");
        check("rate(x[{{ interval }}])", "rate(x[1m])");
    }

    #[test]
    fn variables_are_read_by_field_and_by_index() {
        check("{{ variables.code }}", "5..");
        check("{{variables.code}}", "5..");
        check(r#"{{ index variables "dashed-key" }}"#, "x");
        check(r#"{{ (index variables "code") | printf "%s|" }}"#, "5..|");
    }

    #[test]
    fn an_unknown_variable_is_an_error_by_field_and_empty_by_index() {
        check_error("{{ variables.nope }}", "nope");
        check(r#"[{{ index variables "nope" }}]"#, "[]");
        check(r#"{{ if index variables "nope" }}yes{{ else }}no{{ end }}"#, "no");
    }

    #[test]
    fn the_usual_forms_of_go_templates_work() {
        check(r#"{{ printf "%s-%s" name namespace }}"#, "podinfo-test");
        check(r#"{{ printf "%q" name }}"#, "\"podinfo\"");
        check(r#"{{ if eq namespace "test" }}a{{ else }}b{{ end }}"#, "a");
        check(r#"{{ if eq namespace "prod" }}a{{ else if eq name "podinfo" }}c{{ else }}b{{ end }}"#, "c");
        check(r#"{{ $x := printf "%s.%s" name namespace }}up{x="{{ $x }}"}"#, r#"up{x="podinfo.test"}"#);
        check("a   {{- name -}}   b", "apodinfob");
        check("{{- /* why */ -}} up", "up");
        check("{{ range $k, $v := variables }}{{ $k }}={{ $v }},{{ end }}", "code=5..,dashed-key=x,");
        check("{{ with variables.code }}{{ . }}{{ end }}", "5..");
        check(r#"{{ if and (eq name "podinfo") (ne namespace "x") }}y{{ end }}"#, "y");
        check("{{ len name }}", "7");
        check(r#"{{ name | printf "%s-canary" }}"#, "podinfo-canary");
        check("{{ print name }}", "podinfo");
    }

    #[test]
    fn white_space_becomes_one_space() {
        check("\n  sum(\n\t\trate(x[1m])\n  )\n", "sum( rate(x[1m]) )");
    }

    #[test]
    fn what_is_wrong_is_said() {
        check_error("{{ nme }}", "nme");
        check_error("{{ name", "unclosed action");
        check_error("{{ .name }}", "name");
        check_error("{{ .Values.name }}", "Values");
        check_error("{{ variables.code.deeper }}", "deeper");
        check_error("{{ name 1 }}", "name");
        check_error("{{ if name }}up", "{{ end }} is missing");
        check_error("up{{ end }}", "unexpected {{ end }}");
        check_error("up{{- else }}x", "unexpected {{ else }}");
    }

    #[test]
    fn a_template_cannot_run_away() {
        check_error(&"x".repeat(QUERY_LIMIT_BYTES + 1), "longer than");
        check_error(r#"{{ printf "%65535d" 1 }}{{ printf "%65535d" 1 }}"#, "query is longer than");
        check_error(r#"{{ define "a" }}{{ end }}"#, "not supported");
        check_error(r#"{{- template "query" }}"#, "not supported");
        check_error("{{ range 100000000 }}{{ end }}", "range");
        let doubling = format!("{{{{ $x := name }}}}{}", r#"{{ $x = printf "%s%s" $x $x }}"#.repeat(40));
        check_error(&doubling, "too long");
    }
    fn token() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "{{",
            "}}",
            "{{-",
            "-}}",
            " ",
            "if ",
            "range ",
            "with ",
            "end",
            "else",
            "name",
            "variables",
            ".code",
            "index ",
            "printf ",
            "\"%s%d%*d%v\"",
            "\"k\"",
            "$x",
            " := ",
            " = ",
            "|",
            "(",
            ")",
            "slice ",
            "-1",
            "9223372036854775807",
            "len ",
            "eq ",
            "and ",
            "not ",
            "call ",
            "html ",
            "js ",
            "urlquery ",
            "break",
            "continue",
            "/*",
            "*/",
            "`",
            "'a'",
        ])
    }

    proptest! {
        #[test]
        fn no_template_panics_and_no_query_is_too_long(tokens in prop::collection::vec(token(), 0..24)) {
            let rendered = render(&tokens.concat(), &model());
            prop_assert!(rendered.map_or(true, |query| query.len() <= QUERY_LIMIT_BYTES));
        }

        #[test]
        fn no_action_panics(tokens in prop::collection::vec(token(), 0..12)) {
            let rendered = render(&format!("{{{{ {} }}}}", tokens.concat()), &model());
            prop_assert!(rendered.map_or(true, |query| query.len() <= QUERY_LIMIT_BYTES));
        }
    }
}
