//! Where traffic may go by the ready pods of the two sides: one table, which knows no phase and no object.

use crate::split::Split;
use crate::workload::Side;

/// Ready pods of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pods {
    pub(super) primary: i64,
    pub(super) canary: i64,
}

/// From where to where traffic is to go. The two are the same for whoever wants it to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) from: Split,
    pub(super) to: Split,
}

impl Wanted {
    /// Everything back to the primary, whatever the canary has by now, also by hand.
    pub(super) const HOME: Self = Self { from: Split::CANARY, to: Split::PRIMARY };
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// The traffic goes there.
    Go(Split),
    /// It stays where it is: this side would get more and has no ready pod, and the other one can go on without it.
    Stay(Side),
    /// It should leave the canary and cannot: only the canary has ready pods (I2).
    Stuck(Side),
}

/// Where traffic may go. No side gets more without a ready pod while the other one has some (I1, I2), and no requests stay
/// on a canary without pods while the primary has some (I3). Where nobody has pods nobody loses anything.
pub(super) fn placement(wanted: Wanted, pods: Pods) -> Placement {
    let Wanted { from, to } = wanted;
    let (primary_serves, canary_serves) = (pods.primary > 0, pods.canary > 0);
    if to.primary() > from.primary() {
        return if canary_serves && !primary_serves { Placement::Stuck(Side::Primary) } else { Placement::Go(to) };
    }
    let is_dead = primary_serves && !canary_serves;
    if to.canary() > from.canary() {
        return if is_dead { Placement::Stay(Side::Canary) } else { Placement::Go(to) };
    }
    Placement::Go(if is_dead && to.canary() > 0 { Split::PRIMARY } else { to })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_goes_only_where_pods_are_ready() {
        let half = Split::with_canary(50);
        let (go, stay, stuck) = (Placement::Go, Placement::Stay(Side::Canary), Placement::Stuck(Side::Primary));
        // From, to, and what becomes of it with pods on both sides, on the primary, on the canary, nowhere.
        let table = [
            (Split::PRIMARY, Split::PRIMARY, [go(Split::PRIMARY); 4]),
            (Split::PRIMARY, half, [go(half), stay, go(half), go(half)]),
            (Split::PRIMARY, Split::CANARY, [go(Split::CANARY), stay, go(Split::CANARY), go(Split::CANARY)]),
            (half, Split::PRIMARY, [go(Split::PRIMARY), go(Split::PRIMARY), stuck, go(Split::PRIMARY)]),
            (half, half, [go(half), go(Split::PRIMARY), go(half), go(half)]),
            (half, Split::CANARY, [go(Split::CANARY), stay, go(Split::CANARY), go(Split::CANARY)]),
            (Split::CANARY, Split::PRIMARY, [go(Split::PRIMARY), go(Split::PRIMARY), stuck, go(Split::PRIMARY)]),
            (Split::CANARY, half, [go(half), go(half), stuck, go(half)]),
            (
                Split::CANARY,
                Split::CANARY,
                [go(Split::CANARY), go(Split::PRIMARY), go(Split::CANARY), go(Split::CANARY)],
            ),
        ];
        let pods = [(2, 1), (2, 0), (0, 1), (0, 0)].map(|(primary, canary)| Pods { primary, canary });
        for (from, to, expected) in table {
            let found = pods.map(|pods| placement(Wanted { from, to }, pods));
            assert_eq!(found, expected, "from {from} to {to}");
        }
    }

    #[test]
    fn copies_of_requests_need_no_pods_and_move_nothing() {
        let mirrored = Split::PRIMARY.mirrored();
        let found = placement(Wanted { from: Split::PRIMARY, to: mirrored }, Pods { primary: 1, canary: 0 });
        assert_eq!(found, Placement::Go(mirrored));
    }
}
