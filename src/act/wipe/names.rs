//! A stack of names in one piece of memory.

/// Names, the last one first out; each is kept with its length behind it, so that the stack needs
/// no index.
#[derive(Debug, Default)]
pub(super) struct NameStack {
    bytes: Vec<u8>,
}

impl NameStack {
    /// Its height: a place to come back to.
    pub(super) fn height(&self) -> usize {
        self.bytes.len()
    }

    /// Lays a name on top; `false` (and nothing done) for one that can't be a name.
    pub(super) fn push(&mut self, name: &[u8]) -> bool {
        let Ok(length) = u16::try_from(name.len()) else {
            return false;
        };
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        true
    }

    /// The name whose end is at this height.
    pub(super) fn ending_at(&self, height: usize) -> Option<&[u8]> {
        let below = self.bytes.get(..height)?;
        let (rest, length) = below.split_last_chunk::<2>()?;
        let length = usize::from(u16::from_le_bytes(*length));
        rest.get(rest.len().checked_sub(length)?..)
    }

    /// The name on top.
    pub(super) fn top(&self) -> Option<&[u8]> {
        self.ending_at(self.bytes.len())
    }

    /// Takes the name on top away.
    pub(super) fn pop(&mut self) {
        let length = self.top().map_or(0, <[u8]>::len).saturating_add(2);
        self.cut(self.bytes.len().saturating_sub(length));
    }

    /// Takes away everything above this height.
    pub(super) fn cut(&mut self, height: usize) {
        self.bytes.truncate(height);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_in_reverse() {
        let mut stack = NameStack::default();
        let long = vec![b'x'; 255];
        for name in [&b"a"[..], b"", b"\xff\n", &long] {
            assert!(stack.push(name));
        }
        assert!(!stack.push(&vec![b'y'; 70_000]));
        let height = stack.height();
        assert_eq!(stack.ending_at(height), Some(long.as_slice()));
        assert_eq!(stack.ending_at(3), Some(&b"a"[..]));
        stack.pop();
        assert_eq!(stack.top(), Some(&b"\xff\n"[..]));
        stack.pop();
        assert_eq!(stack.top(), Some(&b""[..]));
        stack.pop();
        assert_eq!(stack.top(), Some(&b"a"[..]));
        stack.pop();
        stack.pop();
        assert_eq!((stack.top(), stack.height()), (None, 0));
    }
}
