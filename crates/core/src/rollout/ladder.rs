//! The weights of a progressive canary, and which of them comes next. It must not know when.

use burgee_api::Analysis;

/// The weights of a progressive canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// `stepWeight`, 0 when unset.
    pub step: u8,
    /// `stepWeights`, empty when unset. A weight of 0 is no step and is left out.
    pub steps: Vec<u8>,
    /// The weight at which the analysis is complete, if the steps are all of one size.
    pub max: u8,
    /// `stepWeightPromotion`, 0 for a single jump.
    pub promotion_step: u8,
}

impl Ladder {
    /// The ladder of an analysis as written.
    pub(super) fn of(analysis: Option<&Analysis>) -> Self {
        let Some(analysis) = analysis else { return Self { step: 0, steps: Vec::new(), max: 100, promotion_step: 0 } };
        let steps = analysis.step_weights.iter().map(|weight| percent(*weight)).filter(|weight| *weight > 0).collect();
        Self {
            step: analysis.step_weight.map_or(0, percent),
            steps,
            max: Some(analysis.max_weight.map_or(0, percent)).filter(|max| *max > 0).unwrap_or(100),
            promotion_step: analysis.step_weight_promotion.map_or(0, percent),
        }
    }

    /// Whether the weights are written one by one.
    pub fn is_listed(&self) -> bool {
        self.step == 0 && !self.steps.is_empty()
    }

    /// The weight after `weight`; none if the analysis is complete (contract: lifecycle §9, nextStep). `had` are the listed
    /// weights that the canary has had in this run, in their order.
    ///
    /// A list is followed from its beginning to its end, so a weight that stands there twice is held for two steps. One that
    /// was edited in the middle of a run is taken up behind its leading weights that are not above `weight`; the peer looks
    /// for the weight anywhere in it, and promotes at the last one however small it is (S42).
    pub fn next(&self, had: &[i64], weight: u8) -> Option<u8> {
        if !self.is_listed() {
            return (weight < self.max).then(|| weight.saturating_add(self.step).min(100));
        }
        self.steps.get(self.done(had, weight)).copied()
    }

    /// How many of the listed weights are done.
    pub fn done(&self, had: &[i64], weight: u8) -> usize {
        if weight == 0 {
            return 0;
        }
        let begins_so =
            had.len() <= self.steps.len() && had.iter().zip(&self.steps).all(|(had, step)| *had == i64::from(*step));
        if begins_so && had.last() == Some(&i64::from(weight)) {
            return had.len();
        }
        self.steps.iter().take_while(|step| **step <= weight).count()
    }
}

fn percent(weight: i64) -> u8 {
    u8::try_from(weight.clamp(0, 100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(steps: &[i64], (had, weight): (&[i64], u8), expected: Option<u8>) {
        let analysis = Analysis { step_weights: steps.to_vec(), ..Analysis::default() };
        assert_eq!(Ladder::of(Some(&analysis)).next(had, weight), expected, "{steps:?} after {had:?} at {weight}");
    }

    #[test]
    fn listed_weights_are_had_one_by_one() {
        check(&[5, 10, 50], (&[], 0), Some(5));
        check(&[5, 10, 50], (&[5], 5), Some(10));
        check(&[5, 10, 50], (&[5, 10, 50], 50), None);
        check(&[0, 5], (&[], 0), Some(5));
    }

    #[test]
    fn a_weight_that_stands_twice_is_held_twice() {
        check(&[10, 10, 20], (&[10], 10), Some(10));
        check(&[10, 10, 20], (&[10, 10], 10), Some(20));
        check(&[10, 20, 20], (&[10, 20], 20), Some(20));
        check(&[10, 20, 20], (&[10, 20, 20], 20), None);
    }

    #[test]
    fn an_edited_list_never_ends_below_a_weight_that_it_begins_with() {
        check(&[50, 10, 10], (&[10], 10), Some(50));
        check(&[50, 10, 10], (&[5, 10], 10), Some(50));
        check(&[50, 10, 10], (&[10, 50], 50), None);
        check(&[30, 60], (&[10, 20], 20), Some(30));
        check(&[10, 15, 25], (&[10, 20], 20), Some(25));
        check(&[5, 10], (&[10, 20], 20), None);
        // A run that was begun before the weights were remembered.
        check(&[5, 10, 50], (&[], 10), Some(50));
        check(&[5, 10, 50], (&[], 7), Some(10));
    }

    #[test]
    fn a_run_that_begins_again_begins_with_the_first_weight() {
        check(&[5, 10], (&[5, 10], 0), Some(5));
    }

    #[test]
    fn steps_of_one_size_end_at_the_greatest_weight() {
        let analysis = Analysis { step_weight: Some(20), max_weight: Some(50), ..Analysis::default() };
        let ladder = Ladder::of(Some(&analysis));
        let weights: Vec<Option<u8>> = [0, 20, 40, 60].map(|weight| ladder.next(&[], weight)).to_vec();
        assert_eq!(weights, [Some(20), Some(40), Some(60), None]);
    }
}
