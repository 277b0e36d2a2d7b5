//! Questions that may never be answered: each is put on a thread of its own, which is left behind
//! when it does not come back in time.
//!
//! A thread that hangs in the kernel can't be taken back. So that a host with a dead drive does
//! not collect them, no further question is put while too many are out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How long one answer may take.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// How many questions may hang at a time in this process.
const HANGING_AT_MOST: usize = 16;

static HANGING: AtomicUsize = AtomicUsize::new(0);

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered<T> {
    /// The answer.
    Yes(T),
    /// None came in time.
    TooLate,
    /// It was not put: as many as may hang do so already, or no thread could be started.
    NotAsked,
}

/// Puts the same question to each of these, one after the other, with this much time for each.
/// The answers come in the order of the questions.
pub fn ask_each<Q, A, F>(questions: Vec<Q>, patience: Duration, ask: F) -> Vec<Answered<A>>
where
    Q: Send + Sync + 'static,
    A: Send + 'static,
    F: Fn(&Q) -> A + Send + Sync + 'static,
{
    let questions = Arc::new(questions);
    let ask = Arc::new(ask);
    let mut answers: Vec<Answered<A>> = Vec::with_capacity(questions.len());
    while answers.len() < questions.len() {
        let begin = answers.len();
        if HANGING.load(Ordering::Relaxed) >= HANGING_AT_MOST {
            answers.push(Answered::NotAsked);
            continue;
        }
        let (sender, receiver) = channel();
        let (asked, answerer) = (Arc::clone(&questions), Arc::clone(&ask));
        let started = thread::Builder::new()
            .name("asks-disks".to_owned())
            .spawn(move || {
                HANGING.fetch_add(1, Ordering::Relaxed);
                for question in asked.iter().skip(begin) {
                    if sender.send(answerer(question)).is_err() {
                        // Came back too late; another thread goes on from here.
                        break;
                    }
                }
                HANGING.fetch_sub(1, Ordering::Relaxed);
            });
        if started.is_err() {
            answers.push(Answered::NotAsked);
            continue;
        }
        while answers.len() < questions.len() {
            match receiver.recv_timeout(patience) {
                Ok(answer) => answers.push(Answered::Yes(answer)),
                Err(RecvTimeoutError::Timeout) => {
                    answers.push(Answered::TooLate);
                    break;
                }
                // The thread ended without an answer to this one: it panicked.
                Err(RecvTimeoutError::Disconnected) => {
                    answers.push(Answered::NotAsked);
                    break;
                }
            }
        }
    }
    answers
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn one_that_hangs_costs_its_own_answer_only() {
        let release = Arc::new(Barrier::new(2));
        let held = Arc::clone(&release);
        let answers = ask_each(vec![1, 2, 3], Duration::from_millis(100), move |n| {
            if *n == 2 {
                held.wait();
            }
            n * 10
        });
        release.wait();
        assert_eq!(
            answers,
            [Answered::Yes(10), Answered::TooLate, Answered::Yes(30)]
        );
    }

    #[test]
    fn one_that_panics_costs_its_own_answer_only() {
        let answers = ask_each(vec![1, 2, 3], PATIENCE, |n| {
            assert!(*n != 2, "as meant by this test");
            *n
        });
        assert_eq!(
            answers,
            [Answered::Yes(1), Answered::NotAsked, Answered::Yes(3)]
        );
    }

    #[test]
    fn no_questions_need_no_thread() {
        assert!(ask_each(Vec::<u8>::new(), PATIENCE, |n| *n).is_empty());
    }
}
