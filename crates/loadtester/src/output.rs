//! What a task says, bounded: its beginning and its end are kept, and what lies between is counted. It reads nothing.

use std::collections::VecDeque;

/// So many bytes of the beginning are kept, and as many of the end.
pub(crate) const HALF: usize = 32 << 10;

/// The output of one task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Output {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
}

impl Output {
    /// Takes more of it.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(HALF - self.head.len()));
        self.head.extend_from_slice(head);
        // Of more than fits only the end can stay.
        let (over, rest) = rest.split_at(rest.len().saturating_sub(HALF));
        self.left_out += over.len() as u64;
        let pushed_out = (self.tail.len() + rest.len()).saturating_sub(HALF);
        self.left_out += pushed_out as u64;
        self.tail.drain(..pushed_out);
        self.tail.extend(rest);
    }

    /// All that was kept, as text.
    pub(crate) fn text(&self) -> String {
        let mut bytes = self.head.clone();
        if self.left_out > 0 {
            bytes.extend_from_slice(format!("\n... {} bytes are left out here ...\n", self.left_out).as_bytes());
        }
        bytes.extend(&self.tail);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[&[u8]]) -> Output {
        let mut output = Output::default();
        for piece in pieces {
            output.push(piece);
        }
        output
    }

    #[test]
    fn what_fits_is_kept_as_it_is() {
        assert_eq!(of(&[b"a", b"", b"bc\n"]).text(), "abc\n");
        let whole = vec![b'x'; 2 * HALF];
        assert_eq!(of(&[&whole]).text().len(), 2 * HALF);
    }

    #[test]
    fn of_more_the_beginning_and_the_end_are_kept_and_the_rest_is_counted() {
        let many: Vec<Vec<u8>> = (0..100_000).map(|number| format!("{number}\n").into_bytes()).collect();
        let joined = many.concat();
        let pieces: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
        for text in [of(&pieces).text(), of(&[&joined]).text()] {
            let missing = joined.len() - 2 * HALF;
            assert!(text.starts_with("0\n1\n2\n") && text.ends_with("99998\n99999\n"));
            assert!(text.contains(&format!("\n... {missing} bytes are left out here ...\n")), "{missing}");
            assert!(text.len() < 2 * HALF + 60);
        }
    }
}
