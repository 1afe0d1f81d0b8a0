//! Messages of hosts that began and do not end: each holds what has come of it in memory, for as long as its host likes. Here it
//! has a time, after which its stream ends. Knows where messages begin and end, and nothing of what is in them.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf as _;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::{Status, body::Body};

/// Bytes before every message: whether it is compressed, and how long it is.
const HEAD_BYTES: usize = 5;

/// Whoever reads asks for more at once, unless they wait for something else first.
const READER_AWAY: Duration = Duration::from_secs(1);

/// The same body, whose messages end in time.
pub(super) fn ending_within(body: Body, time: Duration) -> Body {
    Body::new(Ending {
        body,
        place: Place::default(),
        deadline: Box::pin(tokio::time::sleep(time)),
        time,
        handed: None,
    })
}

/// Where in the stream of messages somebody is.
#[derive(Debug, Default)]
struct Place {
    head: [u8; HEAD_BYTES],
    /// Bytes of the head that came
    head_len: usize,
    /// Bytes of the message that did not come yet
    left: u64,
    /// Messages that began
    begun: u64,
}

impl Place {
    fn is_inside(&self) -> bool {
        self.head_len > 0 || self.left > 0
    }

    fn go(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let many = self.left.min(bytes.len() as u64);
                self.left -= many;
                bytes = usize::try_from(many)
                    .ok()
                    .and_then(|many| bytes.get(many..))
                    .unwrap_or_default();
                continue;
            }
            if self.head_len == 0 {
                self.begun += 1;
            }
            if let Some(byte) = self.head.get_mut(self.head_len) {
                *byte = *first;
            }
            self.head_len += 1;
            bytes = rest;
            if self.head_len == HEAD_BYTES {
                let [_, a, b, c, d] = self.head;
                self.left = u32::from_be_bytes([a, b, c, d]).into();
                self.head_len = 0;
            }
        }
    }
}

struct Ending<B> {
    body: B,
    place: Place,
    deadline: Pin<Box<Sleep>>,
    time: Duration,
    /// When something was handed on last, and nobody has asked for more since
    handed: Option<Instant>,
}

impl<B: HttpBody<Error = Status> + Unpin> HttpBody for Ending<B> {
    type Data = B::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Status>>> {
        let own = &mut *self;
        // Whoever reads was away, and what did not come meanwhile is not its sender's fault.
        if own
            .handed
            .take()
            .is_some_and(|handed| handed.elapsed() > READER_AWAY)
        {
            own.deadline.as_mut().reset(Instant::now() + own.time);
        }
        let polled = Pin::new(&mut own.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                own.handed = Some(Instant::now());
                let before = own.place.begun;
                if let Some(data) = frame.data_ref() {
                    own.place.go(data.chunk());
                }
                if own.place.begun != before {
                    own.deadline.as_mut().reset(Instant::now() + own.time);
                }
                polled
            }
            Poll::Pending if own.place.is_inside() && own.deadline.as_mut().poll(cx).is_ready() => {
                Poll::Ready(Some(Err(Status::deadline_exceeded(
                    "a message began and did not end in time",
                ))))
            }
            _ => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Gives what it has and then nothing, without an end.
    struct Parts(VecDeque<Vec<u8>>);

    impl HttpBody for Parts {
        type Data = std::io::Cursor<Vec<u8>>;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
            match self.0.pop_front() {
                Some(part) => Poll::Ready(Some(Ok(Frame::data(std::io::Cursor::new(part))))),
                None => Poll::Pending,
            }
        }
    }

    fn message(len: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 0, len];
        bytes.extend(std::iter::repeat_n(7, len.into()));
        bytes
    }

    const TIME: Duration = Duration::from_millis(20);

    fn ending(parts: &[&[u8]]) -> Ending<Parts> {
        Ending {
            body: Parts(parts.iter().map(|part| part.to_vec()).collect()),
            place: Place::default(),
            deadline: Box::pin(tokio::time::sleep(TIME)),
            time: TIME,
            handed: None,
        }
    }

    async fn end(mut ending: Ending<Parts>) -> Option<Status> {
        let end = std::future::poll_fn(|cx| {
            loop {
                match Pin::new(&mut ending).poll_frame(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(status))) => return Poll::Ready(status),
                    Poll::Ready(None) => panic!("it has no end"),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        tokio::time::timeout(TIME * 10, end).await.ok()
    }

    async fn end_of(parts: &[&[u8]]) -> Option<Status> {
        end(ending(parts)).await
    }

    #[tokio::test]
    async fn what_does_not_come_while_nobody_reads_is_not_its_senders_fault() {
        let mut ending = ending(&[&message(3)[..7]]);
        let asked = |ending: &mut Ending<Parts>| {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            Pin::new(ending).poll_frame(&mut cx).is_ready()
        };
        assert!(asked(&mut ending), "the beginning is there");
        tokio::time::sleep(READER_AWAY + TIME * 2).await;
        assert!(!asked(&mut ending), "its time begins now");
        let status = end(ending).await.expect("and it ends");
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
    }

    #[tokio::test]
    async fn a_message_that_does_not_end_ends_the_stream_and_silence_between_messages_does_not() {
        let whole = message(3);
        let (head, tail) = whole.split_at(2);
        for unfinished in [&[head][..], &[&whole, &whole[..7]], &[&whole[..5]]] {
            let status = end_of(unfinished).await.expect("it has to end");
            assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
        }
        for finished in [&[][..], &[&whole[..]], &[head, tail], &[&message(0)]] {
            assert!(end_of(finished).await.is_none(), "{finished:?}");
        }
    }

    #[test]
    fn it_is_known_where_messages_end_however_they_come() {
        let messages = [message(0), message(1), message(200), message(5)].concat();
        for size in 1..messages.len() {
            let mut place = Place::default();
            for part in messages.chunks(size) {
                place.go(part);
            }
            assert!(!place.is_inside(), "in parts of {size}");
            assert_eq!(place.begun, 4, "in parts of {size}");
            place.go(&[0]);
            assert!(place.is_inside());
        }
    }
}
