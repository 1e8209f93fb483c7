//! What a load found, in memory that does not grow with its length: counts, sums, and times to a quarter of a percent. It
//! measures nothing itself.

use std::collections::BTreeMap;

/// Each power of two is divided into so many steps, as a power of two: a time is known to one part in 256.
const STEPS: u32 = 8;
/// Times from 0 to 2^44 ns, which is nearly five hours; a longer one counts as that.
const POWERS: u32 = 44;
const BUCKETS: usize = ((POWERS - STEPS + 1) as usize) << STEPS;
/// More different errors than this are counted as others.
const ERRORS: usize = 100;

/// How often each time was measured.
#[derive(Clone, Debug)]
pub(crate) struct Histogram(Vec<u64>);

impl Default for Histogram {
    fn default() -> Self {
        Self(vec![0; BUCKETS])
    }
}

impl Histogram {
    /// The bucket of a time. The first 2^STEPS times have one each.
    #[expect(clippy::cast_possible_truncation, reason = "what is cast is less than a power of two that fits")]
    const fn bucket(nanoseconds: u64) -> usize {
        let power = (nanoseconds | 1).ilog2();
        if power < STEPS {
            return nanoseconds as usize;
        }
        if power >= POWERS {
            return BUCKETS - 1;
        }
        let shift = power - STEPS;
        ((shift as usize + 1) << STEPS) + ((nanoseconds >> shift) as usize - (1 << STEPS))
    }

    /// The middle of a bucket.
    const fn middle(bucket: usize) -> u64 {
        if bucket < 1 << STEPS {
            return bucket as u64;
        }
        let shift = (bucket >> STEPS) - 1;
        let lowest = ((bucket % (1 << STEPS) + (1 << STEPS)) as u64) << shift;
        lowest + (1 << shift) / 2
    }

    /// What is known of a time once it was added.
    pub(crate) const fn known(nanoseconds: u64) -> u64 {
        Self::middle(Self::bucket(nanoseconds))
    }

    fn add(&mut self, nanoseconds: u64) {
        if let Some(count) = self.0.get_mut(Self::bucket(nanoseconds)) {
            *count += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(count, more)| *count += more);
    }

    /// Times in their order, each with how often it was measured.
    pub(crate) fn times(&self) -> impl Iterator<Item = (u64, u64)> {
        let measured = self.0.iter().enumerate().filter(|(_, count)| **count > 0);
        measured.map(|(bucket, count)| (Self::middle(bucket), *count))
    }

    /// The time that so many others are not above.
    pub(crate) fn at(&self, rank: u64) -> Option<u64> {
        let mut before = 0;
        self.times().find_map(|(time, count)| {
            before += count;
            (before > rank).then_some(time)
        })
    }
}

/// A sum, the least and the most.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) sum: u64,
    pub(crate) least: Option<u64>,
    pub(crate) most: u64,
}

impl Span {
    fn add(&mut self, nanoseconds: u64) {
        self.sum += nanoseconds;
        self.least = Some(self.least.map_or(nanoseconds, |least| least.min(nanoseconds)));
        self.most = self.most.max(nanoseconds);
    }

    fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.least = [self.least, other.least].into_iter().flatten().min();
        self.most = self.most.max(other.most);
    }
}

/// The times of one request in nanoseconds, and what came back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// The length that the answer names, 0 if it names none.
    pub(crate) length: u64,
    pub(crate) total: u64,
    /// DNS and dialup, DNS, writing, waiting, reading: the parts in the order of the output.
    pub(crate) parts: [u64; 5],
}

/// Everything that is known of a load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) latencies: Histogram,
    pub(crate) total: Span,
    pub(crate) parts: [Span; 5],
    pub(crate) answered: u64,
    pub(crate) bytes: u64,
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Tally {
    /// A request was answered.
    pub(crate) fn add(&mut self, answered: &Answered) {
        let Answered { status, length, total, parts } = answered;
        self.answered += 1;
        self.bytes += length;
        self.latencies.add(*total);
        self.total.add(*total);
        self.parts.iter_mut().zip(parts).for_each(|(span, part)| span.add(*part));
        *self.statuses.entry(*status).or_default() += 1;
    }

    /// A request was not.
    pub(crate) fn fail(&mut self, error: String) {
        self.count_error(error, 1);
    }

    fn count_error(&mut self, error: String, times: u64) {
        let is_known = self.errors.len() < ERRORS || self.errors.contains_key(&error);
        let error = if is_known { error } else { "other errors".to_owned() };
        *self.errors.entry(error).or_default() += times;
    }

    /// Takes what another part of the same load found.
    pub(crate) fn merge(&mut self, other: Self) {
        let Self { latencies, total, parts, answered, bytes, statuses, errors } = other;
        self.latencies.merge(&latencies);
        self.total.merge(&total);
        self.parts.iter_mut().zip(&parts).for_each(|(span, part)| span.merge(part));
        self.answered += answered;
        self.bytes += bytes;
        for (status, count) in statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (error, count) in errors {
            self.count_error(error, count);
        }
    }

    /// All requests, answered or not.
    pub(crate) fn requests(&self) -> u64 {
        self.answered + self.errors.values().sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_known_to_one_part_in_256() {
        for time in (0..5_000).chain((13..44).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 77])) {
            let known = Histogram::middle(Histogram::bucket(time));
            assert!(known.abs_diff(time) <= time / 256, "{time} is known as {known}");
        }
    }

    #[test]
    fn buckets_follow_each_other_and_end_with_the_longest_time() {
        let buckets: Vec<usize> = (0..100_000).map(Histogram::bucket).collect();
        assert!(buckets.windows(2).all(|pair| pair[1] == pair[0] || pair[1] == pair[0] + 1));
        assert_eq!(Histogram::bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn ranks_are_those_of_the_sorted_times() {
        let mut histogram = Histogram::default();
        for time in [5, 1, 3, 3] {
            histogram.add(time);
        }
        let ranks: Vec<Option<u64>> = (0..5).map(|rank| histogram.at(rank)).collect();
        assert_eq!(ranks, [Some(1), Some(3), Some(3), Some(5), None]);
    }

    #[test]
    fn parts_of_a_load_make_the_whole() {
        let answered = |total| Answered { status: 200, length: 5, total, parts: [0, 0, 1, 2, total] };
        let (mut one, mut other) = (Tally::default(), Tally::default());
        one.add(&answered(10));
        other.add(&answered(30));
        other.fail("EOF".to_owned());
        one.merge(other);
        assert_eq!((one.answered, one.requests(), one.bytes), (2, 3, 10));
        assert_eq!((one.total.sum, one.total.least, one.total.most), (40, Some(10), 30));
        assert_eq!(one.statuses, BTreeMap::from([(200, 2)]));
    }

    #[test]
    fn different_errors_without_end_fill_no_memory() {
        let mut tally = Tally::default();
        (0..1_000).for_each(|number| tally.fail(format!("error {number}")));
        assert_eq!((tally.errors.len(), tally.errors["other errors"]), (ERRORS + 1, 900));
    }
}
