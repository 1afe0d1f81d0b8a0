//! Work that comes in ones and is done in many: whoever asks while others are served is served together with everybody who
//! asked meanwhile. Nobody waits for company that is not there, unless it was said that they may.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;

/// Questions that wait to be answered together.
pub(crate) struct Gather<Q, A> {
    queue: Arc<Mutex<Queue<Q, A>>>,
    pause: Duration,
    together_max: usize,
}

struct Queue<Q, A> {
    waiting: VecDeque<(Q, oneshot::Sender<A>)>,
    /// Somebody is at work, or will be at the end of the pause
    is_busy: bool,
}

impl<Q, A> fmt::Debug for Gather<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gather(..)")
    }
}

impl<Q: Send + 'static, A: Send + 'static> Gather<Q, A> {
    /// So many are answered together at most; the first one waits for others for `pause`.
    pub(crate) fn new(pause: Duration, together_max: usize) -> Self {
        let queue = Queue {
            waiting: VecDeque::new(),
            is_busy: false,
        };
        Self {
            queue: Arc::new(Mutex::new(queue)),
            pause,
            together_max,
        }
    }

    /// Asks. `work` gives one answer to each question, in their order. None where it broke off; a question that nobody waits for
    /// any more is answered all the same.
    pub(crate) async fn ask<F>(
        &self,
        question: Q,
        work: impl Fn(Vec<Q>) -> F + Send + Sync + 'static,
    ) -> Option<A>
    where
        F: Future<Output = Vec<A>> + Send,
    {
        let (sender, answer) = oneshot::channel();
        let begins = {
            let mut queue = lock(&self.queue);
            queue.waiting.push_back((question, sender));
            !std::mem::replace(&mut queue.is_busy, true)
        };
        if begins {
            let (queue, pause, max) = (Arc::clone(&self.queue), self.pause, self.together_max);
            tokio::spawn(async move {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                at_work(&queue, max, work).await;
            });
        }
        answer.await.ok()
    }
}

async fn at_work<Q, A, F>(
    queue: &Arc<Mutex<Queue<Q, A>>>,
    together_max: usize,
    work: impl Fn(Vec<Q>) -> F,
) where
    F: Future<Output = Vec<A>>,
{
    // Whoever breaks off leaves nobody waiting for ever.
    let broken = BrokeOff(Some(queue));
    let mut work = Some(work);
    while let Some(doing) = &work {
        let (questions, senders): (Vec<Q>, Vec<oneshot::Sender<A>>) = {
            let mut queue = lock(queue);
            let many = queue.waiting.len().min(together_max);
            queue.waiting.drain(..many).unzip()
        };
        let answers = doing(questions).await;
        let is_over = {
            let mut queue = lock(queue);
            queue.is_busy = !queue.waiting.is_empty();
            !queue.is_busy
        };
        // ORDER: whoever has an answer finds that nothing of what was used for it is in use any more.
        if is_over {
            work = None;
        }
        for (sender, answer) in senders.into_iter().zip(answers) {
            // Nobody may wait for it any more.
            let _unheard = sender.send(answer);
        }
    }
    broken.went_well();
}

struct BrokeOff<'q, Q, A>(Option<&'q Arc<Mutex<Queue<Q, A>>>>);

impl<Q, A> BrokeOff<'_, Q, A> {
    fn went_well(mut self) {
        self.0 = None;
    }
}

impl<Q, A> Drop for BrokeOff<'_, Q, A> {
    fn drop(&mut self) {
        if let Some(queue) = self.0 {
            let mut queue = lock(queue);
            queue.is_busy = false;
            queue.waiting.clear();
        }
    }
}

fn lock<Q, A>(queue: &Mutex<Queue<Q, A>>) -> MutexGuard<'_, Queue<Q, A>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    /// Answers with how many were answered together, once it is let.
    fn counting(
        let_go: &Arc<Semaphore>,
    ) -> impl Fn(Vec<u32>) -> Counted + Clone + Send + Sync + 'static {
        let let_go = Arc::clone(let_go);
        move |asked| {
            let let_go = Arc::clone(&let_go);
            Box::pin(async move {
                let_go.acquire().await.unwrap().forget();
                let together = asked.len();
                asked.into_iter().map(|one| (one, together)).collect()
            })
        }
    }

    type Counted = std::pin::Pin<Box<dyn Future<Output = Vec<(u32, usize)>> + Send>>;

    async fn all_of(let_go: &Semaphore, gather: &Gather<u32, (u32, usize)>, waiting: usize) {
        while lock(&gather.queue).waiting.len() < waiting {
            tokio::task::yield_now().await;
        }
        let_go.add_permits(100);
    }

    #[tokio::test]
    async fn those_who_ask_at_once_are_answered_together_and_nobody_gets_anothers_answer() {
        let gather = Gather::new(Duration::ZERO, 3);
        let let_go = Arc::new(Semaphore::new(0));
        let work = counting(&let_go);
        let asked = (0..7).map(|one| gather.ask(one, work.clone()));
        let (answers, ()) = tokio::join!(
            futures_in_order(asked.collect()),
            all_of(&let_go, &gather, 7)
        );
        let together: Vec<usize> = answers.iter().map(|(_, together)| *together).collect();
        let ones: Vec<u32> = answers.iter().map(|(one, _)| *one).collect();
        assert_eq!(ones, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(together, [3, 3, 3, 3, 3, 3, 1], "three at most");
    }

    async fn futures_in_order<T>(asked: Vec<impl Future<Output = Option<T>>>) -> Vec<T> {
        let mut asked: Vec<_> = asked.into_iter().map(Box::pin).collect();
        let mut done: Vec<Option<T>> = asked.iter().map(|_| None).collect();
        std::future::poll_fn(|cx| {
            for (one, done) in asked.iter_mut().zip(&mut done) {
                if done.is_none()
                    && let std::task::Poll::Ready(answer) = one.as_mut().poll(cx)
                {
                    *done = answer;
                }
            }
            if done.iter().all(Option::is_some) {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
        done.into_iter().flatten().collect()
    }

    #[tokio::test]
    async fn work_that_breaks_off_answers_nobody_and_the_next_is_served() {
        let gather: Gather<u32, u32> = Gather::new(Duration::ZERO, 10);
        let broken = gather.ask(1, |_| async { panic!("on purpose") }).await;
        assert_eq!(broken, None);
        assert_eq!(gather.ask(2, |asked| async { asked }).await, Some(2));
    }

    #[tokio::test]
    async fn whoever_went_away_is_answered_all_the_same() {
        let gather: Gather<u32, u32> = Gather::new(Duration::ZERO, 10);
        let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
        let work = move |asked: Vec<u32>| {
            told.send(asked.clone()).unwrap();
            async move {
                tokio::task::yield_now().await;
                asked
            }
        };
        let gone = gather.ask(1, work.clone());
        tokio::select! {
            biased;
            _ = gone => panic!("it has to wait"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(gather.ask(2, work).await, Some(2));
        let mut done = vec![];
        while let Ok(mut batch) = hears.try_recv() {
            done.append(&mut batch);
        }
        assert_eq!(done, [1, 2]);
    }
}
