//! What routes cannot be made of, said when the spec is read: in the middle of a run it would be too late (S45, S48). It makes
//! none.

use serde_json::Value;

use super::Rollout;
use crate::expression;
use crate::object::{entries, items, plain};
use crate::router::row::Feature;

impl Rollout {
    /// Whether the requests are those of a protocol of which only connections are known.
    pub(crate) fn is_tcp(&self) -> bool {
        self.service.app_protocol.as_deref().is_some_and(|protocol| protocol.eq_ignore_ascii_case("tcp"))
    }

    /// What of a spec the router cannot take.
    pub(super) fn verify_routes(&self) -> Result<(), String> {
        (self.provider.row().verify)(&self.service, &format!("{}.{}", self.apex, self.namespace))?;
        if !self.provider.can(Feature::Matches) {
            return Ok(());
        }
        let analysis = self.analysis.as_ref().map_or(Value::Null, |analysis| plain(&analysis.matches));
        verify_expressions("spec.analysis.match", &analysis)?;
        verify_expressions("spec.service.match", &self.service_json["match"])?;
        verify_expressions("spec.service.corsPolicy.allowOrigins", &self.service_json["corsPolicy"]["allowOrigins"])
    }
}

/// The first regular expression in a part of the spec that is none, with where it stands.
fn verify_expressions(place: &str, value: &Value) -> Result<(), String> {
    for (number, item) in items(value).enumerate() {
        verify_expressions(&format!("{place}[{number}]"), item)?;
    }
    for (field, inner) in entries(value) {
        let place = format!("{place}.{field}");
        match inner.as_str().filter(|_| field == "regex") {
            Some(expression) => expression::verify(expression).map_err(|error| format!("{place}: {error}"))?,
            None => verify_expressions(&place, inner)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::canary;
    use crate::settings::Settings;
    use crate::split::Mirror;

    fn check(spec: &Value, expected: Option<&str>) {
        assert_eq!(Rollout::parse(&canary(spec), &Settings::default()).err().as_deref(), expected, "{spec}");
    }

    #[test]
    fn what_no_route_can_be_made_of_is_refused_when_it_is_read() {
        let delegated = |field: &str| json!({"service": {"port": 80, "delegation": true, field: ["one"]}});
        let text = "VirtualService podinfo.test cannot have hosts and gateways when delegation enabled";
        check(&delegated("hosts"), Some(text));
        check(&delegated("gateways"), Some(text));
        check(&json!({"service": {"port": 80, "delegation": true}}), None);
        let requests = |field: &str| json!([{"headers": {"x-canary": {field: "(insiders"}}}]);
        let analysis = |field: &str| json!({"analysis": {"iterations": 5, "match": requests(field)}});
        let place = "spec.analysis.match[0].headers.x-canary.regex: \"(insiders\" is no regular expression, ";
        check(&analysis("regex"), Some(&format!("{place}unclosed group")));
        check(&analysis("exact"), None);
        let uri = json!({"service": {"port": 80, "match": [{"uri": {"regex": "/a**"}}]}});
        let refused = Rollout::parse(&canary(&uri), &Settings::default()).is_err();
        assert_eq!(refused, expression::verify("/a**").is_err());
    }

    #[test]
    fn connections_are_not_copied() {
        let spec = |analysis: Value| json!({"service": {"port": 80, "appProtocol": "TCP"}, "analysis": analysis});
        let text = "Traffic mirroring is not supported when using appProtocol tcp";
        let weights = spec(json!({"mirror": true, "stepWeight": 10}));
        check(&weights, Some(text));
        check(&spec(json!({"mirror": false, "stepWeight": 10})), None);
        let iterations = Rollout::parse(&canary(&spec(json!({"mirror": true, "iterations": 3}))), &Settings::default());
        assert!(iterations.is_ok_and(|rollout| rollout.mirror == Mirror::Off && rollout.warnings == [text]));
        let mut running = canary(&weights);
        running.status = serde_json::from_value(json!({"phase": "Progressing"})).ok();
        let finished = Rollout::parse(&running, &Settings::default());
        assert!(finished.is_ok_and(|rollout| rollout.mirror == Mirror::Off && rollout.warnings == [text]));
    }
}
