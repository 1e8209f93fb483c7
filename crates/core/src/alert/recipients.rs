//! Who gets an alert (contract: webhooks §4). This is the only place that says so; it knows no addresses.

use burgee_api::analysis::{Alert, Severity};

use crate::settings::Audience;
use crate::world::{Kind, ObjectKey};

/// Who gets an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// These alert providers of the canary.
    Providers(Vec<ObjectKey>),
    /// The chat of the operator's flags.
    Global,
    /// Nobody: it is not due.
    Nobody,
}

/// Who gets an alert of a canary in this namespace: those of its providers that want one of this severity, and whom the flags
/// name if it has no providers.
pub fn recipients(alerts: &[Alert], namespace: &str, severity: Severity, audience: Audience) -> Recipients {
    if alerts.is_empty() {
        return match audience {
            Audience::Chat => Recipients::Global,
            Audience::Nobody => Recipients::Nobody,
        };
    }
    let wanted = alerts.iter().filter(|alert| is_wanted(alert.severity, severity));
    let keys: Vec<ObjectKey> = wanted
        .map(|alert| {
            let reference = &alert.provider_ref;
            let own = reference.namespace.as_deref().filter(|namespace| !namespace.is_empty());
            ObjectKey::new(Kind::AlertProvider, own.unwrap_or(namespace), &reference.name)
        })
        .collect();
    if keys.is_empty() { Recipients::Nobody } else { Recipients::Providers(keys) }
}

/// Whether an alert of the spec wants a message. A severity that is not set means info, as documented (the peer sends
/// such alerts never).
fn is_wanted(wanted: Severity, message: Severity) -> bool {
    let loudness = |severity| match severity {
        Severity::Unset | Severity::Info => 0,
        Severity::Warn => 1,
        Severity::Error => 2,
    };
    loudness(message) >= loudness(wanted)
}

#[cfg(test)]
mod tests {
    use Severity::{Error, Info, Unset, Warn};
    use burgee_api::CrossNamespaceRef;

    use super::*;

    #[test]
    fn severities_choose_who_is_told() {
        let told = |wanted| [Info, Warn, Error].map(|message| is_wanted(wanted, message));
        assert_eq!(told(Unset), [true, true, true]);
        assert_eq!(told(Info), [true, true, true]);
        assert_eq!(told(Warn), [false, true, true]);
        assert_eq!(told(Error), [false, false, true]);
    }

    #[test]
    fn a_canary_that_names_providers_tells_these_and_nobody_else() {
        let alert = |name: &str, namespace: Option<&str>, severity| Alert {
            severity,
            provider_ref: CrossNamespaceRef { name: name.into(), namespace: namespace.map(str::to_owned) },
            ..Alert::default()
        };
        let alerts = [alert("near", None, Info), alert("far", Some("ops"), Error), alert("blank", Some(""), Error)];
        let told = |alerts: &[Alert], severity, audience| recipients(alerts, "test", severity, audience);
        let key = |namespace: &str, name: &str| ObjectKey::new(Kind::AlertProvider, namespace, name);
        let all = Recipients::Providers(vec![key("test", "near"), key("ops", "far"), key("test", "blank")]);
        assert_eq!(told(&alerts, Error, Audience::Chat), all);
        assert_eq!(told(&alerts, Warn, Audience::Nobody), Recipients::Providers(vec![key("test", "near")]));
        assert_eq!(told(&alerts[1..], Warn, Audience::Chat), Recipients::Nobody, "flags are for those that name none");
        assert_eq!(told(&[], Info, Audience::Chat), Recipients::Global);
        assert_eq!(told(&[], Error, Audience::Nobody), Recipients::Nobody);
    }
}
