//! Query templates: Go's text/template with the functions of the contract (api §2). A template can neither run away nor
//! see anything but its model.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gotmpl::{MissingKey, Template, TemplateError, ToValue, Value};

pub use bounds::QUERY_LIMIT_BYTES;
use bounds::{check_arguments, check_model, check_result, check_template, range_limit, sentence};

mod bounds;

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
///
/// Whatever the template, this comes back soon and takes little: `bounds` says how much (S39).
pub fn render(template: &str, model: &Model) -> Result<String, RenderError> {
    check_template(template)?;
    check_model(model)?;
    // The engine is not ours. A panic of it would come again with every look at the canary.
    let rendered = catch_unwind(AssertUnwindSafe(|| execute(template, model)));
    match rendered {
        Ok(query) => query.map_err(|error| sentence(&error)),
        Err(_) => Err(RenderError("the template engine failed on it".to_owned())),
    }
}

fn execute(template: &str, model: &Model) -> gotmpl::Result<String> {
    let parsed = functions(Template::new("query").missing_key(MissingKey::Error), model)
        .max_range_iters(range_limit(template))
        .parse(template)?;
    // An empty map, not nil: a stray `{{ .name }}` is then an error instead of `<no value>` in the query.
    let nothing = BTreeMap::<String, String>::new().to_value();
    let mut query = Bounded(String::new());
    parsed.execute_fmt(&mut query, &nothing)?;
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

impl Model {
    /// What a template may ask for besides the variables: each word with its text.
    fn texts(&self) -> [(&'static str, &String); 7] {
        let Self { name, namespace, target, service, ingress, route, interval, variables: _ } = self;
        [
            ("name", name),
            ("namespace", namespace),
            ("target", target),
            ("service", service),
            ("ingress", ingress),
            ("route", route),
            ("interval", interval),
        ]
    }
}

fn functions(template: Template, model: &Model) -> Template {
    let calls = Calls::default();
    let mut template = calls.constant(template, "variables", model.variables.to_value());
    template = calls.counted(template, "index", index);
    for (word, text) in model.texts() {
        template = calls.constant(template, word, text.to_value());
    }
    for word in ["print", "println", "printf", "html", "js", "urlquery"] {
        template = calls.counted(template, word, move |arguments| print(word, arguments));
    }
    template
}

/// Counts the calls of one rendering.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicU32>);

impl Calls {
    /// Adds a function that may be called as often as all of them together may.
    fn counted<F>(&self, template: Template, word: &'static str, function: F) -> Template
    where
        F: Fn(&[Value]) -> gotmpl::Result<Value> + Send + Sync + 'static,
    {
        let calls = self.clone();
        template.func(word, move |arguments| {
            if calls.0.fetch_add(1, Ordering::Relaxed) >= bounds::CALL_LIMIT {
                return Err(TemplateError::Exec(format!("more than {} calls of functions", bounds::CALL_LIMIT)));
            }
            function(arguments)
        })
    }

    fn constant(&self, template: Template, word: &'static str, value: Value) -> Template {
        self.counted(template, word, move |arguments| match arguments.len() {
            0 => Ok(value.clone()),
            got => Err(TemplateError::ArgCount { name: word.to_owned(), expected: 0, got }),
        })
    }
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
    check_arguments(word, arguments)?;
    let operands: Vec<String> = (0..arguments.len()).map(|position| format!("(index . {position})")).collect();
    let call = operands.join(" ");
    let arguments = Value::List(arguments.to_vec().into());
    let text = Template::new(word).parse(&format!("{{{{ {word} {call} }}}}"))?.execute_to_string(&arguments)?;
    check_result(word, &text)?;
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
        let padding = r#"{{ printf "%999d" 1 }}"#;
        check_error(&padding.repeat(QUERY_LIMIT_BYTES / 999 + 1), "query is longer than");
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
