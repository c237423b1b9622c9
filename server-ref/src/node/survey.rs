//! Orders that wait for the answers of other nodes, up to a deadline. One that is not answered is sent again,
//! because a message between nodes may be lost; a node carries it out once.

use super::{Node, Order, orders::Answer};
use crate::{clock::Millis, engine::EngineError};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    sync::Arc,
};
use tokio::sync::oneshot;

/// Orders that may wait for answers at the same time.
const MAX_OPEN: usize = 4096;

/// What all nodes said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// By the node's id, this node's among them.
    pub answers: BTreeMap<Arc<str>, Answer>,
    /// The nodes that did not answer in time: whether they carried it out is not known.
    pub unanswered: Vec<Arc<str>>,
}

type Outcome = Result<Answers, EngineError>;

struct Survey {
    /// The node that is asked; `*`: all of them.
    to: Arc<str>,
    waiting: BTreeSet<Arc<str>>,
    answers: BTreeMap<Arc<str>, Answer>,
    /// It is not over before: who there is may not be known yet.
    not_before: Millis,
    again_at: Millis,
    until: Millis,
    body: Bytes,
    outcome: oneshot::Sender<Outcome>,
}

impl Survey {
    fn end(self) {
        let unanswered = self.waiting.into_iter().collect();
        // Whoever asked may have given up.
        let _ = self.outcome.send(Ok(Answers { answers: self.answers, unanswered }));
    }
}

/// Orders that wait.
#[derive(Default)]
pub(super) struct Surveys {
    inner: Mutex<(u64, BTreeMap<u64, Survey>)>,
}

impl Surveys {
    /// When [`Surveys::due`] has something to say.
    pub(super) fn next(&self) -> Option<Millis> {
        let inner = self.inner.lock();
        let at = |survey: &Survey| {
            let over = if survey.waiting.is_empty() { survey.not_before } else { survey.again_at };
            over.min(survey.until)
        };
        inner.1.values().map(at).min()
    }

    fn open(&self, survey: Survey) -> Option<u64> {
        let mut inner = self.inner.lock();
        // What clients send to one node that does not answer leaves room for what the application asks of all.
        let most = if &*survey.to == "*" { MAX_OPEN } else { MAX_OPEN / 2 };
        if inner.1.len() >= most {
            return None;
        }
        inner.0 += 1;
        let id = inner.0;
        inner.1.insert(id, survey);
        Some(id)
    }

    fn end_where(&self, over: impl Fn(&Survey) -> bool) {
        let ended: Vec<Survey> =
            self.inner.lock().1.extract_if(.., |_, survey| over(survey)).map(|(_, survey)| survey).collect();
        ended.into_iter().for_each(Survey::end);
    }

    /// A node has answered.
    pub(super) fn answered(&self, id: u64, from: &str, answer: Answer, now: Millis) {
        let mut inner = self.inner.lock();
        let btree_map::Entry::Occupied(mut entry) = inner.1.entry(id) else { return };
        let survey = entry.get_mut();
        survey.waiting.remove(from);
        survey.answers.insert(from.into(), answer);
        if survey.waiting.is_empty() && now >= survey.not_before {
            let survey = entry.remove();
            drop(inner);
            survey.end();
        }
    }

    /// A node has gone.
    pub(super) fn gone(&self, peer: &str, now: Millis) {
        for survey in self.inner.lock().1.values_mut() {
            survey.waiting.remove(peer);
        }
        self.end_where(|survey| survey.waiting.is_empty() && now >= survey.not_before);
    }

    /// Ends what is over, and gives what is to be sent again.
    fn due(&self, now: Millis, pause: Millis) -> Vec<(u64, Arc<str>, Bytes)> {
        self.end_where(|survey| now >= survey.until || survey.waiting.is_empty() && now >= survey.not_before);
        let mut again = Vec::new();
        for (id, survey) in &mut self.inner.lock().1 {
            if now >= survey.again_at && !survey.waiting.is_empty() {
                survey.again_at = now + pause;
                again.push((*id, Arc::clone(&survey.to), survey.body.clone()));
            }
        }
        again
    }

    fn fail(&self, id: u64, error: EngineError) {
        let survey = self.inner.lock().1.remove(&id);
        if let Some(survey) = survey {
            let _ = survey.outcome.send(Err(error));
        }
    }
}

impl Node {
    /// Has every node, this one too, carry an order out, and waits for what they say.
    ///
    /// # Errors
    /// The engine did not pass it on: this node alone has carried it out.
    pub async fn order(self: &Arc<Self>, order: &Order) -> Outcome {
        let answer = self.carry_out(order);
        let answers = BTreeMap::from([(Arc::from(self.id()), answer)]);
        if !self.engine.is_shared() {
            return Ok(Answers { answers, unanswered: Vec::new() });
        }
        let (waiting, not_before) = {
            let peers = self.peers.lock();
            (peers.all().cloned().collect(), peers.known_from())
        };
        self.survey("*".into(), waiting, not_before, answers, order).await
    }

    /// Has one other node carry an order out, and waits for what it says. `None`: there is no such node, or it has
    /// gone meanwhile.
    ///
    /// # Errors
    /// The engine did not pass it on; or [`EngineError::Deadline`]: the node did not answer in time, and whether it
    /// has carried the order out is not known.
    pub(super) async fn order_one(
        self: &Arc<Self>,
        peer: &str,
        order: &Order,
    ) -> Result<Option<Answer>, EngineError> {
        let (is_there, all_known) = {
            let peers = self.peers.lock();
            (peers.all().any(|known| **known == *peer), self.now() >= peers.known_from())
        };
        if !self.engine.is_shared() || all_known && !is_there {
            return Ok(None);
        }
        let peer: Arc<str> = peer.into();
        let waiting = BTreeSet::from([Arc::clone(&peer)]);
        let mut said = self.survey(Arc::clone(&peer), waiting, 0, BTreeMap::new(), order).await?;
        match said.answers.remove(&peer) {
            None if !said.unanswered.is_empty() => Err(EngineError::Deadline),
            answer => Ok(answer),
        }
    }

    async fn survey(
        self: &Arc<Self>,
        to: Arc<str>,
        waiting: BTreeSet<Arc<str>>,
        not_before: Millis,
        answers: BTreeMap<Arc<str>, Answer>,
        order: &Order,
    ) -> Outcome {
        let body = Bytes::from(serde_json::to_vec(order).expect("it is made of text and numbers"));
        let (outcome, over) = oneshot::channel();
        let now = self.now();
        let until = now + self.patience();
        let again_at = now + self.pause();
        let (asked, copy) = (Arc::clone(&to), body.clone());
        let survey = Survey { to, waiting, answers, not_before, again_at, until, body, outcome };
        let busy = EngineError::Away { retry_after: self.patience() };
        let id = self.surveys.open(survey).ok_or(busy)?;
        self.after(self.ask(&asked, id, &copy), id, |node, id, result| match result {
            Ok(()) => node.see_to_surveys(node.now()),
            Err(error) => node.surveys.fail(id, error),
        });
        // Its host sleeps until the deadline that it knows.
        self.later(Arc::downgrade(self), |_| {});
        over.await.unwrap_or(Err(EngineError::Deadline))
    }

    /// Milliseconds that an answer may take.
    pub(super) fn patience(&self) -> Millis {
        self.config.node.answer_timeout.millis().max(1)
    }

    fn pause(&self) -> Millis {
        (self.patience() / 3).max(1)
    }

    pub(super) fn see_to_surveys(self: &Arc<Self>, now: Millis) {
        for (id, to, body) in self.surveys.due(now, self.pause()) {
            self.detach(self.ask(&to, id, &body), "an order to other nodes");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_send_leaves_room_for_the_application() {
        let surveys = Surveys::default();
        let open = |to: &str| {
            let (outcome, _) = oneshot::channel();
            let (waiting, answers) = (BTreeSet::from([Arc::from("node")]), BTreeMap::new());
            let survey = Survey {
                to: to.into(),
                waiting,
                answers,
                not_before: 0,
                again_at: 1,
                until: 1,
                body: Bytes::new(),
                outcome,
            };
            surveys.open(survey).is_some()
        };
        let pieces = (0..MAX_OPEN).filter(|_| open("node")).count();
        assert_eq!(pieces, MAX_OPEN / 2);
        assert!(open("*") && !open("node"));
        let orders = 1 + (0..MAX_OPEN).filter(|_| open("*")).count();
        assert_eq!(pieces + orders, MAX_OPEN);
    }
}
