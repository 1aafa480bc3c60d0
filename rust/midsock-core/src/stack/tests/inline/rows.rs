//! Verdicts on the rows of batches.

use arrow_array::cast::AsArray;

use super::super::talk::FIN_ACK;
use super::*;
use crate::Side::{Client, Server};
use crate::event::{BatchId, BatchSpec, Field};

/// Runs the packets in bursts of this size; `judge` sees offset and bytes of each row of new data.
fn run(
    frames: &[Vec<Frame>; 2],
    burst: usize,
    coalesces: bool,
    judge: &dyn Fn(&str) -> Verdict,
) -> (Out, InlineStatistics, Vec<(Option<EndReason>, u64)>) {
    let config = Config { seed: Some(1), records: true, ..Config::default() };
    let (mut stack, sent) = between(frames, burst, config);
    let monitor = stack.open(MonitorKind::Stream, Scope::any(), StreamSettings::default());
    let batch = stack.add_batch(BatchSpec { columns: vec![Field::Data], size: 0 }, coalesces);
    let wish = Registration {
        event: Kind::NewData.into(),
        hook: Hook::PostTcp,
        side: None,
        action: Action::Batch(batch),
    };
    stack.register(monitor, wish).unwrap();
    loop {
        match stack.step().unwrap() {
            Step::Batch(id, rows) => {
                let data = rows.column(0).as_binary::<i64>().clone();
                let verdicts: Vec<Verdict> =
                    data.iter().map(|data| judge(std::str::from_utf8(data.unwrap()).unwrap())).collect();
                stack.batch_verdicts(id, &verdicts).unwrap();
            }
            Step::End => break,
            _ => {}
        }
    }
    let record = |record: FlowRecord| (record.reason, record.sides.iter().map(|side| side.packets).sum());
    let records = stack.take_records().into_iter().map(record).collect();
    (sent.map(|sent| sent.take()), stack.inline_statistics(), records)
}

fn payloads(frames: &[Frame]) -> Vec<String> {
    let payload =
        |frame: &Frame| String::from_utf8_lossy(segment(&frame.bytes).payload(&frame.bytes)).into_owned();
    frames.iter().map(payload).filter(|payload| !payload.is_empty()).collect()
}

#[test]
fn a_row_stands_for_its_packet() {
    let mut talk = Talk::opened();
    talk.say(Client, b"one").say(Client, b"two").say(Server, b"three").say(Client, b"four");
    for burst in [256, 1, 2, 7] {
        let judge =
            |data: &str| if data == "two" || data == "three" { Verdict::Drop } else { Verdict::Forward };
        let (out, statistics, _) = run(&split(&talk), burst, false, &judge);
        assert_eq!((payloads(&out[1]), payloads(&out[0])), (vec!["one".into(), "four".into()], vec![]));
        assert_eq!((statistics.dropped_by_verdict, statistics.forwarded), (2, 5));
    }
}

#[test]
fn a_row_of_several_packets_covers_them_all() {
    let mut talk = Talk::opened();
    talk.say(Client, b"one").say(Client, b"two").wait(SECOND).say(Server, b"three");
    let mut other = Talk { now: talk.now - SECOND, ..Talk::opened() };
    other.port(4001).open().say(Client, b"x").say(Client, b"y");
    talk.frames.extend(other.frames.into_iter().skip(3));
    talk.frames.sort_by_key(|frame| frame.time);
    let judge = |data: &str| if data == "onetwo" { Verdict::Drop } else { Verdict::Forward };
    let (out, statistics, _) = run(&split(&talk), 256, true, &judge);
    assert_eq!((payloads(&out[1]).concat(), payloads(&out[0]).concat()), ("xy".into(), "three".into()));
    assert_eq!(statistics.dropped_by_verdict, 2);
}

#[test]
fn the_rest_of_a_flow_is_dropped_from_the_rows_first_packet_on() {
    let mut talk = Talk::opened();
    talk.say(Client, b"one").say(Client, b"two").say(Client, b"three").close();
    talk.port(4001).open().say(Client, b"another");
    for burst in [256, 1, 2, 7] {
        let judge = |data: &str| if data == "two" { Verdict::DropFlow } else { Verdict::Forward };
        let (out, statistics, records) = run(&split(&talk), burst, false, &judge);
        assert_eq!(payloads(&out[1]), ["one", "another"], "bursts of {burst}");
        assert_eq!(out[0].len(), 2);
        assert_eq!(statistics.dropped_by_verdict, 5);
        assert!(records.iter().any(|(_, packets)| *packets == 9), "{records:?}");
    }
}

#[test]
fn a_row_resets_its_flow_by_what_was_forwarded() {
    let mut talk = Talk::opened();
    talk.say(Client, b"one").say(Client, b"bad").say(Client, b"three").say(Server, b"answer");
    let [c, s] = talk.next;
    for burst in [256, 1, 2, 7] {
        let judge = |data: &str| if data == "bad" { Verdict::Reset } else { Verdict::Forward };
        let (out, statistics, records) = run(&split(&talk), burst, false, &judge);
        let last: Vec<(bool, u32)> = out
            .iter()
            .flat_map(|frames| frames.iter().map(|frame| segment(&frame.bytes)))
            .filter(|segment| segment.flags.contains(TcpFlags::RST))
            .map(|segment| (segment.flags.contains(TcpFlags::ACK), segment.seq))
            .collect();
        // Before "bad" on the one side, before "answer" on the other; later packets get answers.
        assert!(last.contains(&(true, c.wrapping_sub(8))), "bursts of {burst}: {last:?}");
        assert!(last.contains(&(true, s.wrapping_sub(6))), "bursts of {burst}: {last:?}");
        assert_eq!(payloads(&out[1]), ["one"]);
        assert!(payloads(&out[0]).is_empty());
        assert_eq!((statistics.resets, statistics.dropped_by_verdict), (1, 3));
        assert_eq!(records[0].0, Some(EndReason::Reset));
    }
}

#[test]
fn a_flow_that_is_over_is_kept_back_all_the_same() {
    let mut talk = Talk::opened();
    talk.say(Client, b"bad");
    let [c, s] = talk.next;
    talk.close().wait(10 * SECOND);
    // What was dropped comes again, long after others would have stopped to linger.
    talk.send(Client, FIN_ACK, c.wrapping_sub(3), s, b"bad");
    for verdict in [Verdict::DropFlow, Verdict::Reset] {
        // All of it in one burst, but for the last packet.
        let frames = [talk.frames.clone(), Vec::new()];
        let (out, statistics, records) = run(&frames, 7, false, &|_| verdict);
        assert!(payloads(&out[1]).is_empty(), "{verdict:?}");
        // The packet, the three that close, and the late one.
        assert_eq!(statistics.dropped_by_verdict, 5);
        assert_eq!(records, [(Some(EndReason::Closed), 8)]);
    }
}

#[test]
fn verdicts_are_for_the_batch_at_hand() {
    let mut talk = Talk::opened();
    talk.say(Client, b"one").say(Client, b"two").say(Client, b"three");
    let (mut stack, sent) = between(&split(&talk), 1, Config::default());
    let monitor = stack.open(MonitorKind::Stream, Scope::any(), StreamSettings::default());
    let mut batch = |size| {
        let batch = stack.add_batch(BatchSpec { columns: vec![Field::EventLength], size }, false);
        let action = Action::Batch(batch);
        let wish = Registration { event: Kind::NewData.into(), hook: Hook::PostTcp, side: None, action };
        stack.register(monitor, wish).unwrap();
        batch
    };
    let (each, two): (BatchId, BatchId) = (batch(0), batch(2));
    let mut seen = 0;
    loop {
        match stack.step().unwrap() {
            Step::Batch(id, rows) if id == each => {
                seen += 1;
                let drop = [Verdict::Drop];
                assert!(matches!(
                    stack.batch_verdicts(id, &[]),
                    Err(InlineError::RowCount { given: 0, rows: 1 })
                ));
                assert!(matches!(stack.batch_verdicts(two, &drop), Err(InlineError::LateBatch)));
                assert_eq!(rows.num_rows(), 1);
                assert_eq!(rows.column(0).len(), 1);
            }
            Step::Batch(id, rows) => {
                seen += 10;
                let verdicts = vec![Verdict::Drop; rows.num_rows()];
                assert!(matches!(stack.batch_verdicts(id, &verdicts), Err(InlineError::LateBatch)));
            }
            Step::End => break,
            _ => assert!(matches!(stack.batch_verdicts(each, &[]), Err(InlineError::LateBatch))),
        }
    }
    // Two rows at the end of a burst, and what was left at the end of the input.
    assert_eq!((seen, sent[1].take().len()), (23, 5));
}
