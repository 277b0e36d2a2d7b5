//! Writing over parts of files, and reading parts of devices back.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use rustix::io::{Errno, pread, pwrite, retry_on_intr};

use super::target::fill_random;
use crate::act::wipe::control::Control;
use crate::act::wipe::report::StopReason;

/// The size of one write or read; larger ones were measured to gain nothing.
pub(in crate::act::wipe) const BLOCK: usize = 1 << 20;
const BLOCK_BYTES: u64 = 1 << 20;
/// So many writes are under way at once where nobody asked for politeness: more gain nothing.
const WRITES_AT_ONCE: usize = 8;
/// The same of reads, each of which needs memory of its own.
const READS_AT_ONCE: usize = 4;
/// Less than this is written by one thread.
const PARALLEL_FROM: u64 = 8 << 20;
/// What O_DIRECT needs.
const ALIGNMENT: usize = 4096;
/// How often a wait for the device looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);

/// Bytes at an address that O_DIRECT takes.
#[derive(Debug)]
pub(in crate::act::wipe) struct Aligned {
    bytes: Vec<u8>,
    from: usize,
}

impl Aligned {
    /// [`BLOCK`] zeros.
    pub(in crate::act::wipe) fn zeros() -> Self {
        let bytes = vec![0; BLOCK.saturating_add(ALIGNMENT)];
        let from = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { bytes, from }
    }

    /// [`BLOCK`] random bytes.
    pub(super) fn random() -> Result<Self, Errno> {
        let mut made = Self::zeros();
        fill_random(made.get_mut())?;
        Ok(made)
    }

    pub(in crate::act::wipe) fn get(&self) -> &[u8] {
        self.bytes
            .get(self.from..)
            .and_then(|tail| tail.get(..BLOCK))
            .unwrap_or_default()
    }

    pub(in crate::act::wipe) fn get_mut(&mut self) -> &mut [u8] {
        self.bytes
            .get_mut(self.from..)
            .and_then(|tail| tail.get_mut(..BLOCK))
            .unwrap_or_default()
    }
}

/// Why work on a file or device did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::act::wipe) enum Halt {
    /// It was told to.
    Stopped,
    /// A call failed.
    Io(Errno),
}

impl Halt {
    /// The error number, where it was one; the wipe ends where it was told to.
    pub(in crate::act::wipe) fn errno(self) -> Result<Errno, StopReason> {
        match self {
            Self::Stopped => Err(StopReason::Cancelled),
            Self::Io(errno) => Ok(errno),
        }
    }
}

/// A part of a file or device, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::act::wipe) struct Range {
    pub(in crate::act::wipe) from: u64,
    pub(in crate::act::wipe) length: u64,
}

/// Writes `pattern`, again and again, over these parts of a file.
pub(in crate::act::wipe) fn write_over(
    file: BorrowedFd<'_>,
    ranges: &[Range],
    pattern: &[u8],
    control: &Control,
) -> Result<u64, Halt> {
    let total = ranges
        .iter()
        .fold(0_u64, |sum, range| sum.saturating_add(range.length));
    if total < PARALLEL_FROM || control.rate() > 0 {
        for piece in ranges.iter().flat_map(|range| pieces(*range)) {
            write_piece(file, piece, pattern, control)?;
        }
    } else {
        let pieces: Vec<Range> = ranges.iter().flat_map(|range| pieces(*range)).collect();
        at_once(
            WRITES_AT_ONCE,
            &pieces,
            || (),
            |(), piece| write_piece(file, piece, pattern, control),
        )?;
    }
    Ok(total)
}

/// Reads these parts of a device back and calls `found` for each with its bytes.
pub(in crate::act::wipe) fn read_back(
    device: BorrowedFd<'_>,
    ranges: &[Range],
    control: &Control,
    found: &(dyn Fn(Range, &[u8]) + Sync),
) -> Result<(), Halt> {
    let pieces: Vec<Range> = ranges.iter().flat_map(|range| pieces(*range)).collect();
    let read = |buffer: &mut Aligned, piece: Range| {
        let length = usize::try_from(piece.length).map_err(|_large| Halt::Io(Errno::OVERFLOW))?;
        let buffer = buffer
            .get_mut()
            .get_mut(..length)
            .ok_or(Halt::Io(Errno::OVERFLOW))?;
        read_piece(device, piece.from, buffer, control)?;
        found(piece, buffer);
        Ok(())
    };
    if control.rate() > 0 || pieces.len() < 4 {
        let mut buffer = Aligned::zeros();
        pieces
            .into_iter()
            .try_for_each(|piece| read(&mut buffer, piece))
    } else {
        at_once(READS_AT_ONCE, &pieces, Aligned::zeros, read)
    }
}

/// A range in parts of at most one block.
fn pieces(range: Range) -> impl Iterator<Item = Range> {
    let count = range.length.div_ceil(BLOCK_BYTES);
    (0..count).map(move |at| {
        let offset = at.saturating_mul(BLOCK_BYTES);
        Range {
            from: range.from.saturating_add(offset),
            length: range.length.saturating_sub(offset).min(BLOCK_BYTES),
        }
    })
}

/// Does it to all pieces, at most so many at once; the first error ends it.
fn at_once<W>(
    most: usize,
    pieces: &[Range],
    with: impl Fn() -> W + Sync,
    act: impl Fn(&mut W, Range) -> Result<(), Halt> + Sync,
) -> Result<(), Halt> {
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<Halt>> = Mutex::new(None);
    let fail = |halt: Halt| {
        next.store(pieces.len(), Ordering::Relaxed);
        let mut failed = match failed.lock() {
            Ok(failed) => failed,
            Err(poisoned) => poisoned.into_inner(),
        };
        failed.get_or_insert(halt);
    };
    std::thread::scope(|scope| {
        for _ in 0..most.min(pieces.len()) {
            let spawned = std::thread::Builder::new()
                .name("overwrite".to_owned())
                .stack_size(128 << 10)
                .spawn_scoped(scope, || {
                    let mut own = with();
                    while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Err(halt) = act(&mut own, *piece) {
                            fail(halt);
                            return;
                        }
                    }
                });
            if spawned.is_err() {
                // Those that run do all; without any there is nobody to.
                break;
            }
        }
    });
    let failed = match failed.into_inner() {
        Ok(failed) => failed,
        Err(poisoned) => poisoned.into_inner(),
    };
    match failed {
        Some(halt) => Err(halt),
        // No thread could be started.
        None if next.load(Ordering::Relaxed) < pieces.len() => {
            let mut own = with();
            pieces
                .get(next.load(Ordering::Relaxed)..)
                .unwrap_or_default()
                .iter()
                .try_for_each(|piece| act(&mut own, *piece))
        }
        None => Ok(()),
    }
}

fn write_piece(
    file: BorrowedFd<'_>,
    piece: Range,
    pattern: &[u8],
    control: &Control,
) -> Result<(), Halt> {
    if !control.proceed() {
        return Err(Halt::Stopped);
    }
    let length = usize::try_from(piece.length).map_err(|_large| Halt::Io(Errno::OVERFLOW))?;
    let mut rest = pattern.get(..length).ok_or(Halt::Io(Errno::OVERFLOW))?;
    let mut at = piece.from;
    while !rest.is_empty() {
        let done = retry_on_intr(|| pwrite(file, rest, at)).map_err(Halt::Io)?;
        // A write of nothing would never end.
        rest = rest
            .get(done..)
            .filter(|_| done > 0)
            .ok_or(Halt::Io(Errno::IO))?;
        at = at.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
    }
    Ok(())
}

fn read_piece(
    device: BorrowedFd<'_>,
    from: u64,
    buffer: &mut [u8],
    control: &Control,
) -> Result<(), Halt> {
    if !control.proceed() {
        return Err(Halt::Stopped);
    }
    let mut rest = buffer;
    let mut at = from;
    while !rest.is_empty() {
        let done = retry_on_intr(|| pread(device, &mut *rest, at)).map_err(Halt::Io)?;
        if done == 0 {
            // Beyond its end there should be nothing to read.
            return Err(Halt::Io(Errno::IO));
        }
        rest = rest.get_mut(done..).ok_or(Halt::Io(Errno::IO))?;
        at = at.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
    }
    Ok(())
}

/// Makes a call that may take long on a thread of its own, so that a stop need not wait for it.
pub(in crate::act::wipe) fn in_time<T: Send + 'static>(
    fd: BorrowedFd<'_>,
    control: &Control,
    call: impl Fn(BorrowedFd<'_>) -> Result<T, Errno> + Send + 'static,
) -> Result<T, Halt> {
    let own = fd
        .try_clone_to_owned()
        .map_err(|error| Halt::Io(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    let (sender, receiver) = mpsc::channel();
    let spawned = std::thread::Builder::new()
        .name("sync".to_owned())
        .stack_size(64 << 10)
        .spawn(move || {
            let result = call(own.as_fd());
            // Whoever hears the result may unmount.
            drop(own);
            // Nobody may be there to hear it any more.
            match sender.send(result) {
                Ok(()) | Err(_) => {}
            }
        });
    if spawned.is_err() {
        return Err(Halt::Io(Errno::NOMEM));
    }
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(result) => return result.map_err(Halt::Io),
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(Halt::Io(Errno::IO)),
            Err(mpsc::RecvTimeoutError::Timeout) if control.proceed() => {}
            Err(mpsc::RecvTimeoutError::Timeout) => return Err(Halt::Stopped),
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "tests make files of their own"
)]
mod tests {
    use std::fs::File;
    use std::time::Instant;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn range(from: u64, length: u64) -> Range {
        Range { from, length }
    }

    /// A file of so many MiB full of `x`, to be read and written.
    fn file(mib: u64) -> File {
        let mut file = tempfile::tempfile_in("/dev/shm")
            .or_else(|_| tempfile::tempfile())
            .unwrap();
        let mib = usize::try_from(mib * MIB).unwrap();
        std::io::Write::write_all(&mut file, &vec![b'x'; mib]).unwrap();
        file
    }

    fn bytes(file: &File) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, 0).unwrap();
        bytes
    }

    /// Few and many bytes, alone and by several threads.
    fn ways() -> [(Vec<Range>, u32); 4] {
        let few = vec![range(3, 1), range(5000, 70_000), range(3 * MIB, MIB)];
        let many = vec![range(4096, 9 * MIB + 17), range(10 * MIB, MIB)];
        [
            (few.clone(), 0),
            (many.clone(), 0),
            (few, 1000),
            (many, 1000),
        ]
    }

    #[test]
    fn exactly_what_is_meant_is_written_over() {
        for (ranges, rate) in ways() {
            let file = file(12);
            let mut expected = bytes(&file);
            let zeros = Aligned::zeros();
            let control = Control::new(rate);
            let written = write_over(file.as_fd(), &ranges, zeros.get(), &control);
            assert_eq!(written, Ok(ranges.iter().map(|range| range.length).sum()));
            for range in ranges {
                let from = usize::try_from(range.from).unwrap();
                let length = usize::try_from(range.length).unwrap();
                expected[from..from + length].fill(0);
            }
            assert!(bytes(&file) == expected);
        }
    }

    #[test]
    fn every_byte_that_is_meant_is_read_back_once() {
        for (ranges, rate) in ways() {
            let file = file(12);
            let wrong = ranges[1].from + 4097;
            std::os::unix::fs::FileExt::write_all_at(&file, b"y", wrong).unwrap();
            let seen = Mutex::new(Vec::new());
            let differs = Mutex::new(Vec::new());
            let control = Control::new(rate);
            read_back(file.as_fd(), &ranges, &control, &|range, bytes| {
                assert_eq!(u64::try_from(bytes.len()), Ok(range.length));
                assert!(range.length <= MIB);
                if bytes.iter().any(|byte| *byte != b'x') {
                    differs.lock().unwrap().push(range);
                }
                seen.lock().unwrap().push(range);
            })
            .unwrap();
            let mut seen = seen.into_inner().unwrap();
            seen.sort_by_key(|range| range.from);
            let mut joined: Vec<Range> = Vec::new();
            for piece in seen {
                match joined.last_mut() {
                    Some(last) if last.from + last.length == piece.from => {
                        last.length += piece.length;
                    }
                    _ => joined.push(piece),
                }
            }
            assert_eq!(joined, ranges);
            let differs = differs.into_inner().unwrap();
            assert_eq!(differs.len(), 1);
            assert!((differs[0].from..differs[0].from + differs[0].length).contains(&wrong));
        }
    }

    #[test]
    fn what_can_t_be_read_or_written_is_an_error_and_not_zeros() {
        for (ranges, rate) in ways() {
            let control = Control::new(rate);
            let short = file(1);
            let read = read_back(short.as_fd(), &ranges, &control, &|_, _| {});
            assert_eq!(read, Err(Halt::Io(Errno::IO)));
            let read_only = File::open("/dev/null").unwrap();
            let zeros = Aligned::zeros();
            let written = write_over(read_only.as_fd(), &ranges, zeros.get(), &control);
            assert_eq!(written, Err(Halt::Io(Errno::BADF)));
        }
    }

    #[test]
    fn a_stop_ends_reading_and_writing_before_the_next_piece() {
        for (ranges, rate) in ways() {
            let file = file(12);
            let control = Control::new(rate);
            control.stop();
            let zeros = Aligned::zeros();
            let written = write_over(file.as_fd(), &ranges, zeros.get(), &control);
            assert_eq!(written, Err(Halt::Stopped));
            assert!(bytes(&file).iter().all(|byte| *byte == b'x'));
            let read = read_back(file.as_fd(), &ranges, &control, &|_, _| panic!("read"));
            assert_eq!(read, Err(Halt::Stopped));
        }
    }

    /// Threads that write or read, of this test and of others.
    fn threads() -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        tasks
            .filter_map(|task| std::fs::read(task.path().join("comm")).ok())
            .filter(|name| name.trim_ascii() == b"overwrite")
            .count()
    }

    #[test]
    fn where_there_is_a_rate_to_keep_to_no_two_pieces_are_under_way_at_once() {
        let (file, control) = (file(12), Control::new(1000));
        let many = [range(0, 12 * MIB)];
        let here = std::thread::current().id();
        read_back(file.as_fd(), &many, &control, &|_, _| {
            assert_eq!(std::thread::current().id(), here);
        })
        .unwrap();
        control.pause();
        std::thread::scope(|scope| {
            scope.spawn(|| write_over(file.as_fd(), &many, Aligned::zeros().get(), &control));
            std::thread::sleep(Duration::from_millis(100));
            let begun = Instant::now();
            // Those of other tests end.
            while threads() > 0 && begun.elapsed() < Duration::from_secs(10) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let running = threads();
            control.resume();
            assert_eq!(running, 0);
        });
        assert!(bytes(&file).iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_call_that_hangs_is_not_waited_for_once_it_is_to_stop_and_a_slow_one_is() {
        let file = file(0);
        let control = Control::new(0);
        let slow = in_time(file.as_fd(), &control, |_| {
            std::thread::sleep(LOOK * 4);
            Ok(7)
        });
        assert_eq!(slow, Ok(7));
        let fails = in_time(file.as_fd(), &control, |_| Err::<(), _>(Errno::NOSPC));
        assert_eq!(fails, Err(Halt::Io(Errno::NOSPC)));
        let (over, hung) = mpsc::channel::<()>();
        let hung = Mutex::new(hung);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(LOOK * 2);
                control.stop();
            });
            let hangs = in_time(file.as_fd(), &control, move |_| {
                let heard = hung.lock().unwrap().recv_timeout(Duration::from_secs(20));
                heard.map_err(|_silence| Errno::TIMEDOUT)
            });
            assert_eq!(hangs, Err(Halt::Stopped));
        });
        assert!(begun.elapsed() < Duration::from_secs(10));
        drop(over);
    }

    #[test]
    fn blocks_lie_where_past_the_cache_they_have_to_and_random_ones_differ() {
        let (zeros, mut random) = (Aligned::zeros(), Aligned::random().unwrap());
        for bytes in [zeros.get(), random.get()] {
            assert_eq!(bytes.len(), BLOCK);
            assert_eq!(bytes.as_ptr().align_offset(ALIGNMENT), 0);
        }
        assert!(zeros.get().iter().all(|byte| *byte == 0));
        let other = Aligned::random().unwrap();
        for at in 0..BLOCK / 64 {
            let part = at * 64..(at + 1) * 64;
            assert_ne!(random.get()[part.clone()], zeros.get()[part.clone()]);
            assert_ne!(random.get()[part.clone()], other.get()[part]);
        }
        random.get_mut().fill(0);
        assert!(random.get() == zeros.get());
    }
}
