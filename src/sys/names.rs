//! A stack of names in one piece of memory: what a walk has still to enter.

/// How many directories from the root on are looked at for names to lend.
const LENDERS: usize = 32;

/// Set in a name's length where the name is no directory's; no name is as long.
const NO_DIRECTORY: u16 = 1 << 15;

/// Names, the last one first out; each is kept with its length behind it, so that the stack needs
/// no index.
#[derive(Debug, Default)]
pub struct NameStack {
    bytes: Vec<u8>,
}

impl NameStack {
    /// Its height: a place to come back to.
    #[must_use]
    pub fn height(&self) -> usize {
        self.bytes.len()
    }

    /// Lays a name on top; `false` (and nothing done) for one that can't be a name.
    pub fn push(&mut self, name: &[u8]) -> bool {
        self.push_marked(name, 0)
    }

    /// As [`push`](Self::push), for a name that was seen to be no directory's.
    pub fn push_other(&mut self, name: &[u8]) -> bool {
        self.push_marked(name, NO_DIRECTORY)
    }

    fn push_marked(&mut self, name: &[u8], mark: u16) -> bool {
        let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
        if length >= NO_DIRECTORY {
            return false;
        }
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(&(length | mark).to_le_bytes());
        true
    }

    /// The name whose end is at this height.
    #[must_use]
    pub fn ending_at(&self, height: usize) -> Option<&[u8]> {
        self.marked(height).map(|(name, _)| name)
    }

    fn marked(&self, height: usize) -> Option<(&[u8], u16)> {
        let below = self.bytes.get(..height)?;
        let (rest, length) = below.split_last_chunk::<2>()?;
        let length = u16::from_le_bytes(*length);
        let from = rest
            .len()
            .checked_sub(usize::from(length & !NO_DIRECTORY))?;
        Some((rest.get(from..)?, length & NO_DIRECTORY))
    }

    /// The name on top.
    #[must_use]
    pub fn top(&self) -> Option<&[u8]> {
        self.ending_at(self.bytes.len())
    }

    /// Whether the name on top was seen to be no directory's.
    #[must_use]
    pub fn top_is_other(&self) -> bool {
        self.marked(self.bytes.len())
            .is_some_and(|(_, mark)| mark != 0)
    }

    /// Takes the name on top away.
    pub fn pop(&mut self) {
        let length = self.top().map_or(0, <[u8]>::len).saturating_add(2);
        self.cut(self.bytes.len().saturating_sub(length));
    }

    /// A height at about the middle of the names between two heights, with at least one name on
    /// either side; `None` where there are not two.
    #[must_use]
    pub fn middle(&self, from: usize, to: usize) -> Option<usize> {
        let enough = to.saturating_sub(from).checked_div(2)?;
        let mut at = to;
        loop {
            let length = self.ending_at(at)?.len().checked_add(2)?;
            at = at.checked_sub(length).filter(|&below| below > from)?;
            if at.saturating_sub(from) <= enough.max(1) || self.is_lowest(from, at) {
                return Some(at);
            }
        }
    }

    /// Names that a walk can lend: half of those that one of its directories has still to enter, of
    /// the first that has two, so that it is much at a time. `frames` are its directories from the
    /// root on: whether each is open, and where its names begin. Gives the directory's place, and
    /// between which heights the names lie.
    pub fn to_lend(
        &self,
        frames: impl Iterator<Item = (bool, usize)> + Clone,
    ) -> Option<(usize, usize, usize)> {
        let ends = frames.clone().skip(1).map(|(_, from)| from);
        frames
            .zip(ends.chain([self.height()]))
            .take(LENDERS)
            .enumerate()
            .find_map(|(at, ((is_open, from), end))| {
                let middle = is_open.then(|| self.middle(from, end))??;
                Some((at, from, middle))
            })
    }

    /// Whether only one name lies between two heights.
    fn is_lowest(&self, from: usize, at: usize) -> bool {
        self.ending_at(at)
            .is_some_and(|name| at.saturating_sub(from) == name.len().saturating_add(2))
    }

    /// Takes the names between two heights out.
    #[must_use]
    pub fn take(&mut self, from: usize, to: usize) -> Self {
        if from > to || to > self.bytes.len() {
            return Self::default();
        }
        Self {
            bytes: self.bytes.drain(from..to).collect(),
        }
    }

    /// Takes away everything above this height.
    pub fn cut(&mut self, height: usize) {
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

    #[test]
    fn what_is_no_directory_is_remembered_beside_its_name() {
        let mut stack = NameStack::default();
        assert!(!stack.top_is_other());
        assert!(stack.push(b"dir"));
        assert!(stack.push_other(&[b'x'; 255]));
        assert!(!stack.push_other(&vec![b'y'; 40_000]));
        assert!(stack.top_is_other());
        assert_eq!(stack.top(), Some(&[b'x'; 255][..]));
        stack.pop();
        assert_eq!(
            (stack.top(), stack.top_is_other()),
            (Some(&b"dir"[..]), false)
        );
    }

    #[test]
    fn half_of_the_names_can_be_taken_out_and_one_always_stays() {
        let mut stack = NameStack::default();
        for name in 0..10 {
            assert!(stack.push(format!("name{name}").as_bytes()));
        }
        let (from, to) = (7, stack.height());
        let middle = stack.middle(from, to).unwrap();
        let mut taken = stack.take(from, middle);
        let mut names = Vec::new();
        while let Some(name) = taken.top() {
            names.push(String::from_utf8(name.to_vec()).unwrap());
            taken.pop();
        }
        assert_eq!(names, ["name4", "name3", "name2", "name1"]);
        assert_eq!(stack.top(), Some(&b"name9"[..]));
        assert_eq!(stack.ending_at(from), Some(&b"name0"[..]));
        assert_eq!(stack.height(), 7 * 6);

        let mut two = NameStack::default();
        assert!(two.push(&[b'x'; 200]));
        assert_eq!(two.middle(0, two.height()), None);
        assert!(two.push(b"y"));
        assert_eq!(two.middle(0, two.height()), Some(202));
        assert_eq!(NameStack::default().middle(0, 0), None);
    }

    #[test]
    fn the_open_directory_nearest_to_the_root_that_has_two_names_lends_half() {
        let mut stack = NameStack::default();
        for name in ["a", "b", "c", "d"] {
            assert!(stack.push(name.as_bytes()));
        }
        // Three bytes a name: one name in the root, three in the directory inside.
        let frames = [(true, 0), (true, 3)];
        assert_eq!(stack.to_lend(frames.into_iter()), Some((1, 3, 6)));
        // Closed ones lend nothing, and neither does one with a single name.
        assert_eq!(stack.to_lend([(true, 0), (false, 3)].into_iter()), None);
        assert_eq!(stack.to_lend([(false, 0)].into_iter()), None);
        assert_eq!(stack.to_lend([(true, 0)].into_iter()), Some((0, 0, 6)));
    }
}
