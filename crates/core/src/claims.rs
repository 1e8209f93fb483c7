//! What a canary claims for itself: its target and its apex name. Two that claim the same are rivals, and the younger one
//! has to wait (S24). It decides nothing else.

use crate::world::Rival;
use serde_json::Value;

/// The claim of one canary, small enough to keep for every one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    created: String,
    name: String,
    target: String,
    apex: String,
}

impl Claim {
    /// The claim of a canary.
    pub fn of(canary: &Value) -> Self {
        let (metadata, spec) = (&canary["metadata"], &canary["spec"]);
        let target = text(&spec["targetRef"]["name"]);
        let apex = Some(text(&spec["service"]["name"])).filter(|name| !name.is_empty()).unwrap_or(target);
        Self {
            created: text(&metadata["creationTimestamp"]).to_owned(),
            name: text(&metadata["name"]).to_owned(),
            target: format!("{}/{target}", text(&spec["targetRef"]["kind"])),
            apex: apex.to_owned(),
        }
    }

    /// The oldest of the others that claims the same and is older than this one.
    pub fn rival<'a>(&self, others: impl Iterator<Item = &'a Self>) -> Option<Rival> {
        let older = others.filter(|other| (&other.created, &other.name) < (&self.created, &self.name));
        let rivals = older.filter(|other| other.target == self.target || other.apex == self.apex);
        let oldest = rivals.min_by_key(|other| (&other.created, &other.name))?;
        let claim = if oldest.target == self.target {
            format!("target {}", self.target)
        } else {
            format!("service {}", self.apex)
        };
        Some(Rival { name: oldest.name.clone(), claim })
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claim(name: &str, created: &str, target: &str, service: &str) -> Claim {
        Claim::of(&json!({
            "metadata": {"name": name, "creationTimestamp": created},
            "spec": {"targetRef": {"kind": "Deployment", "name": target}, "service": {"name": service}},
        }))
    }

    fn check(own: &Claim, others: &[Claim], expected: Option<(&str, &str)>) {
        let expected = expected.map(|(name, claim)| Rival { name: name.to_owned(), claim: claim.to_owned() });
        assert_eq!(own.rival(others.iter()), expected);
    }

    #[test]
    fn the_younger_of_two_that_claim_the_same_has_a_rival() {
        let (old, young) = (claim("b", "1", "app", "x"), claim("a", "2", "app", "y"));
        let both = [old.clone(), young.clone()];
        check(&young, &both, Some(("b", "target Deployment/app")));
        check(&old, &both, None);
        let apex = claim("c", "3", "other", "x");
        check(&apex, &both, Some(("b", "service x")));
        check(&claim("d", "3", "x", ""), &both, Some(("b", "service x")));
        check(&claim("e", "3", "z", ""), &both, None);
    }

    #[test]
    fn of_the_same_age_the_name_decides() {
        let both = [claim("a", "1", "app", ""), claim("b", "1", "app", "")];
        check(&both[1], &both, Some(("a", "target Deployment/app")));
        check(&both[0], &both, None);
    }
}
