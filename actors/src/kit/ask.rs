//! Request and reply: a message that carries a slot for its answer. Every ask has a deadline.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::actor::Message;
use super::edge::{Edge, SendError};

/// Where the answer goes, the first one that is given: an answer from an actor that was taken for stuck meanwhile counts
/// too, since a question changes nothing. Handlers see `&Message`, so answering takes the slot out of the shared message; after a
/// failure the next incarnation finds it still there unless it was used.
#[derive(Debug)]
pub struct Reply<T>(Mutex<Option<oneshot::Sender<T>>>);

impl<T> Reply<T> {
    pub fn pair() -> (Self, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Mutex::new(Some(sender))), receiver)
    }

    /// Answers; a second answer, or one to an asker that has given up, is dropped.
    pub fn send(&self, answer: T) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            drop(sender.send(answer));
        }
    }

    /// Nobody waits any more: the work can be left undone.
    pub fn is_abandoned(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    #[error("the actor does not take messages any more")]
    Closed,
    #[error("the actor gave up on the question")]
    Unanswered,
}

/// Sends a question and waits for its answer, `deadline` for both together. Only towards a leaf of the message graph.
pub async fn ask<M: Message, T>(
    edge: &Edge<M>,
    deadline: Duration,
    question: impl FnOnce(Reply<T>) -> M,
) -> Result<T, AskError> {
    let (reply, answer) = Reply::pair();
    let exchange = async {
        edge.send(question(reply)).await.map_err(|_: SendError<M>| AskError::Closed)?;
        answer.await.map_err(|_| AskError::Unanswered)
    };
    tokio::time::timeout(deadline, exchange).await.map_err(|_| AskError::Deadline(deadline))?
}
