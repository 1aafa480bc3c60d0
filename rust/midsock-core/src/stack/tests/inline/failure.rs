//! What becomes of packets when something fails.

use super::*;
use crate::Side::{Client, Server};
use crate::event::{BatchSpec, Field};

fn config(on_failure: FailurePolicy) -> Config {
    Config { seed: Some(1), on_failure, ..Config::default() }
}

/// Three packets of a handshake and three of data, in bursts of this size, watched at `kind`.
fn stack(policy: FailurePolicy, burst: usize, kind: Kind) -> (Stack<u32>, [SentFrames; 2]) {
    let mut talk = Talk::opened();
    talk.say(Client, b"one").say(Client, b"two").say(Client, b"three");
    let (mut stack, sent) = between(&split(&talk), burst, config(policy));
    let monitor = stack.open(MonitorKind::Stream, Scope::any(), StreamSettings::default());
    stack.register(monitor, on(kind)).unwrap();
    (stack, sent)
}

#[test]
fn a_packet_whose_handler_fails_follows_the_policy() {
    for (policy, passed) in [(FailurePolicy::Open, 5), (FailurePolicy::Closed, 3)] {
        for burst in [256, 1, 2, 7] {
            let (mut stack, sent) = stack(policy, burst, Kind::NewData);
            let act: Act<'_> = &|stack, upcall, _| {
                if stack.data(upcall) == b"two" {
                    stack.handler_failed(upcall);
                }
            };
            stack.run(&mut Log { lines: Vec::new(), act }).unwrap();
            assert_eq!(sent[1].take().len(), passed, "{policy:?}");
            assert_eq!(stack.inline_statistics().dropped_by_verdict, 5 - passed as u64);
        }
    }
}

#[test]
fn a_verdict_holds_though_another_handler_fails() {
    let (mut stack, sent) = stack(FailurePolicy::Open, 7, Kind::NewData);
    let act: Act<'_> = &|stack, upcall, _| {
        stack.verdict(upcall, Verdict::Drop).unwrap();
        stack.handler_failed(upcall);
    };
    stack.run(&mut Log { lines: Vec::new(), act }).unwrap();
    assert_eq!(sent[1].take().len(), 2);
}

#[test]
fn a_stack_that_stops_for_good_leaves_the_burst_to_the_policy() {
    for (policy, passed) in [(FailurePolicy::Open, 4), (FailurePolicy::Closed, 2)] {
        for abandons in [false, true] {
            let (mut stack, sent) = stack(policy, 256, Kind::NewData);
            // The burst of the client's last four packets; the first of them brings nothing new, and the second is
            // dropped.
            loop {
                if let Step::Upcall(upcall) = stack.step().unwrap() {
                    if stack.data(&upcall) == b"one" {
                        stack.verdict(&upcall, Verdict::Drop).unwrap();
                    } else {
                        break;
                    }
                }
            }
            assert_eq!(sent[1].len(), 1);
            if abandons {
                stack.abandon();
                assert!(matches!(stack.step().unwrap(), Step::End));
            }
            drop(stack);
            assert_eq!(sent[1].take().len(), passed, "{policy:?}");
        }
    }
}

#[test]
fn what_was_said_of_the_packet_at_hand_is_done_when_the_stack_stops() {
    let (mut stack, sent) = stack(FailurePolicy::Open, 256, Kind::NewData);
    loop {
        if let Step::Upcall(upcall) = stack.step().unwrap() {
            stack.verdict(&upcall, Verdict::Reset).unwrap();
            break;
        }
    }
    drop(stack);
    let sent = sent[1].take();
    let rsts: Vec<bool> =
        sent.iter().map(|frame| segment(&frame.bytes).flags.contains(TcpFlags::RST)).collect();
    // The packets behind it were not looked at, so they pass; their receiver knows no connection.
    assert_eq!(rsts, [false, false, true, false, false]);
}

#[test]
fn rows_that_nobody_ruled_on_follow_the_policy() {
    for (policy, passed) in [(FailurePolicy::Open, 5), (FailurePolicy::Closed, 2)] {
        for fails in [false, true] {
            let mut talk = Talk::opened();
            talk.say(Client, b"one").say(Client, b"two").say(Client, b"three");
            let (mut stack, sent) = between(&split(&talk), 256, config(policy));
            let monitor = stack.open(MonitorKind::Stream, Scope::any(), StreamSettings::default());
            let batch = stack.add_batch(BatchSpec { columns: vec![Field::EventLength], size: 0 }, false);
            let action = Action::Batch(batch);
            let wish = Registration { event: Kind::NewData.into(), hook: Hook::PostTcp, side: None, action };
            stack.register(monitor, wish).unwrap();
            loop {
                match stack.step().unwrap() {
                    Step::Batch(id, _) if fails => stack.batch_failed(id),
                    Step::Batch(..) | Step::End => break,
                    _ => {}
                }
            }
            drop(stack);
            assert_eq!(sent[1].take().len(), passed, "{policy:?}");
        }
    }
}

/// A port that fails to receive or to send, and tells of its being flushed.
struct Broken {
    inner: Box<dyn Port>,
    fails: fn(&str) -> bool,
    flushed: Arc<Mutex<u32>>,
}

impl Broken {
    fn result(&self, what: &str) -> std::result::Result<(), PortError> {
        if !(self.fails)(what) {
            return Ok(());
        }
        let kind = std::io::ErrorKind::NetworkDown;
        Err(PortError::Live { name: "af_packet:gone".into(), kind, reason: "the interface is gone".into() })
    }
}

impl Port for Broken {
    fn receive(
        &mut self,
        burst: &mut Vec<Packet>,
        wait: Duration,
    ) -> std::result::Result<Received, PortError> {
        self.result("receive")?;
        self.inner.receive(burst, wait)
    }

    fn memory(&self) -> &[u8] {
        self.inner.memory()
    }

    fn send(&mut self, memory: &[u8], burst: &[Packet]) -> std::result::Result<(), PortError> {
        self.result("send")?;
        self.inner.send(memory, burst)
    }

    fn flush(&mut self) -> std::result::Result<(), PortError> {
        *self.flushed.lock().unwrap() += 1;
        self.result("flush")
    }

    fn statistics(&self) -> PortStatistics {
        PortStatistics { send_failures: 3, ..PortStatistics::default() }
    }

    fn is_live(&self) -> bool {
        true
    }
}

#[test]
fn an_error_of_one_port_is_told_after_the_other_was_flushed() {
    for fails in [|what: &str| what == "receive", |what: &str| what == "send", |what: &str| what == "flush"] {
        let mut talk = Talk::opened();
        talk.say(Server, b"data");
        let [client, server] = split(&talk);
        let flushed = Arc::new(Mutex::new(0));
        let wire = Wire::default();
        wire.push(client);
        let good = Broken { inner: wire.port(), fails: |_| false, flushed: flushed.clone() };
        let bad = Broken { inner: Box::new(MemoryPort::new(server)), fails, flushed: Arc::default() };
        let mut stack: Stack<u32> =
            Stack::inline([Box::new(good), Box::new(bad)], Config::default()).unwrap();
        let error = loop {
            match stack.step() {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.to_string(), "af_packet:gone: the interface is gone");
        assert!(*flushed.lock().unwrap() > 0);
        assert_eq!(stack.inline_statistics().failures, 6);
    }
}
