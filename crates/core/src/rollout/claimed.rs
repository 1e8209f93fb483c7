//! What a spec names: by names that Kubernetes takes (S30), and hosts that its namespace may claim (S29).

use burgee_api::{Canary, CrossNamespaceRef};

use super::Rollout;
use crate::dns::{is_label, is_name};
use crate::limits::allows;
use crate::settings::Settings;

impl Rollout {
    /// The first name that is none, or that may not be claimed.
    pub(super) fn verify_claims(&self, canary: &Canary, settings: &Settings) -> Result<(), String> {
        self.verify_named()?;
        let hosts = canary.spec.service.iter().flat_map(|service| &service.hosts);
        let refused = hosts.into_iter().find(|host| !allows(settings, &self.namespace, host));
        refused.map_or(Ok(()), |host| {
            Err(format!("namespace {} may not claim the host {host} (-allowed-hosts)", self.namespace))
        })
    }

    fn verify_named(&self) -> Result<(), String> {
        let scaler = self.scaler.iter().map(|scaler| ("autoscalerRef.name", scaler.name.as_str()));
        let templates = self.metrics().iter().filter_map(|metric| metric.template_ref.as_ref());
        let providers = self.alerts().iter().map(|alert| &alert.provider_ref);
        let names = [("targetRef.name", self.target.name.as_str()), ("service.name", self.apex.as_str())];
        names.into_iter().chain(scaler).try_for_each(|(field, name)| check(field, name, is_name))?;
        templates.into_iter().try_for_each(|reference| verify_reference("templateRef", reference))?;
        providers.into_iter().try_for_each(|reference| verify_reference("providerRef", reference))
    }
}

fn verify_reference(field: &str, reference: &CrossNamespaceRef) -> Result<(), String> {
    check(&format!("{field}.name"), &reference.name, is_name)?;
    let namespace = reference.namespace.as_deref().unwrap_or_default();
    check(&format!("{field}.namespace"), namespace, |text| text.is_empty() || is_label(text))
}

fn check(field: &str, name: &str, is_one: impl Fn(&str) -> bool) -> Result<(), String> {
    if is_one(name) { Ok(()) } else { Err(format!("{field} {name:?} is no name that Kubernetes takes")) }
}
