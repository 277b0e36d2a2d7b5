//! Threads that share one tree: who has nothing to do is lent work by who has.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Workers and the tasks between them.
#[derive(Debug)]
pub struct Crew<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    /// How many wait for a task that is not there.
    hungry: AtomicUsize,
    over: AtomicBool,
}

#[derive(Debug)]
struct State<T> {
    tasks: Vec<T>,
    waiting: usize,
    working: usize,
}

/// A worker has a task, until this is dropped.
#[derive(Debug)]
pub struct Working<'a, T>(&'a Crew<T>);

impl<T> Drop for Working<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.working = state.working.saturating_sub(1);
        if state.working == 0 {
            self.0.changed.notify_all();
        }
    }
}

impl<T> Crew<T> {
    /// With these tasks to begin with.
    pub fn new(tasks: impl IntoIterator<Item = T>) -> Self {
        Self {
            state: Mutex::new(State {
                tasks: tasks.into_iter().collect(),
                waiting: 0,
                working: 0,
            }),
            changed: Condvar::new(),
            hungry: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Numbers and a list that is pushed to and popped from: never half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, state: &State<T>) {
        let hungry = state.waiting.saturating_sub(state.tasks.len());
        self.hungry.store(hungry, Ordering::Relaxed);
    }

    /// The next task; waits for one. `None` when nobody can have one any more.
    pub fn next(&self) -> Option<(T, Working<'_, T>)> {
        let mut state = self.lock();
        loop {
            if self.is_over() {
                return None;
            }
            if let Some(task) = state.tasks.pop() {
                state.working = state.working.saturating_add(1);
                self.count(&state);
                return Some((task, Working(self)));
            }
            if state.working == 0 {
                return None;
            }
            state.waiting = state.waiting.saturating_add(1);
            self.count(&state);
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.waiting = state.waiting.saturating_sub(1);
            self.count(&state);
        }
    }

    /// A task for whoever waits.
    pub fn give(&self, task: T) {
        let mut state = self.lock();
        state.tasks.push(task);
        self.count(&state);
        self.changed.notify_one();
    }

    /// Whether somebody waits for a task.
    pub fn is_hungry(&self) -> bool {
        self.hungry.load(Ordering::Relaxed) > 0
    }

    /// No task is given out any more; whoever works should come home.
    pub fn end(&self) {
        let state = self.lock();
        self.over.store(true, Ordering::Relaxed);
        self.changed.notify_all();
        drop(state);
    }

    /// Whether [`Crew::end`] was called.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn every_task_is_done_once_and_all_come_home() {
        for _ in 0..50 {
            let crew = Crew::new([1_000_u64]);
            let done = AtomicU64::new(0);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        while let Some((mut task, _working)) = crew.next() {
                            while task > 0 {
                                if crew.is_hungry() && task > 1 {
                                    let half = task.div_euclid(2);
                                    crew.give(half);
                                    task = task.saturating_sub(half);
                                } else {
                                    done.fetch_add(1, Ordering::Relaxed);
                                    task = task.saturating_sub(1);
                                }
                            }
                        }
                    });
                }
            });
            assert_eq!(done.into_inner(), 1_000);
        }
    }

    #[test]
    fn nobody_waits_after_the_end() {
        let crew = Crew::new([()]);
        std::thread::scope(|scope| {
            let (_task, working) = crew.next().unwrap();
            let waiting = scope.spawn(|| crew.next().is_none());
            while !crew.is_hungry() {
                std::thread::yield_now();
            }
            crew.end();
            assert!(waiting.join().unwrap());
            drop(working);
        });
    }
}
