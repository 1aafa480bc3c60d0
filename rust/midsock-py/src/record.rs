//! What is known of a flow at one moment, most often its end.

use midsock_core::Side;
use std::fmt::Write as _;

use midsock_core::flow::{EndReason, FlowRecord as Record, SideRecord};
use midsock_core::tcp::RexmitKind;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Map, Number, Value, json};

use crate::enums;

/// All that is known of a flow, without its streams.
#[pyclass(frozen, module = "midsock")]
pub(crate) struct FlowRecord {
    record: Record,
}

/// Nanoseconds as seconds with 9 decimals, exactly.
fn seconds(nanos: i64) -> String {
    let (sign, nanos) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
    format!("{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl FlowRecord {
    pub(crate) fn new(record: Record) -> FlowRecord {
        FlowRecord { record }
    }

    fn pair<T>(&self, get: impl Fn(&SideRecord) -> T) -> (T, T) {
        let [client, server] = &self.record.sides;
        (get(client), get(server))
    }

    fn vlan_path(&self) -> Vec<u16> {
        self.record.vlan.into_iter().filter(|id| *id != 0).collect()
    }

    /// Its record as others script against it: keys and their order are an interface.
    fn json(&self) -> Value {
        let record = &self.record;
        let both = |get: &dyn Fn(&SideRecord) -> Value| json!([get(&record.sides[0]), get(&record.sides[1])]);
        let named = |get: &dyn Fn(&SideRecord) -> Value| {
            let entries = Side::BOTH.map(|side| (side.name().to_owned(), get(&record.sides[side.index()])));
            Value::Object(entries.into_iter().collect())
        };
        // The text is made of digits and one dot: a number.
        let time =
            |nanos: i64| seconds(nanos).parse().map_or(Value::Null, |number: Number| Value::Number(number));
        let vlan = match self.vlan_path()[..] {
            [] => Value::Null,
            [id] => json!(id),
            _ => json!(self.vlan_path()),
        };
        let rexmits = RexmitKind::ALL
            .map(|kind| (kind.name().to_owned(), both(&|side| json!(side.rexmits.count(kind)))));
        let anomalies: Map<String, Value> =
            record.anomalies.iter().map(|(what, count)| (what.name().to_owned(), json!(count))).collect();
        let mut json = json!({
            "client": record.sides[0].address.to_string(),
            "server": record.sides[1].address.to_string(),
            "vlan": vlan,
            "start": time(record.start),
            "end": time(record.last),
            "packets": both(&|side| json!(side.packets)),
            "bytes": both(&|side| json!(side.bytes)),
            "state": named(&|side| json!(side.state.name())),
            "reason": record.reason.map(EndReason::name),
            "handshake": record.handshake,
            "midstream": record.midstream,
            "rexmit": Value::Object(rexmits.into_iter().collect()),
            "gaps": named(&|side| side.gaps.iter().map(|gap| json!([gap.offset, gap.length])).collect()),
            "anomalies": anomalies,
            "conn_state": record.conn_state.name(),
            "history": record.history,
        });
        if record.sides.iter().any(|side| side.digest.is_some()) {
            json["stream"] = named(&|side| match &side.digest {
                Some((length, sha256)) => json!({"length": length, "sha256": hex(sha256)}),
                None => Value::Null,
            });
        }
        json
    }
}

#[pymethods]
impl FlowRecord {
    /// The flow's number.
    #[getter]
    fn id(&self) -> u64 {
        self.record.number
    }

    /// Client as "ip:port", IPv6 in brackets.
    #[getter]
    fn client(&self) -> String {
        self.record.sides[0].address.to_string()
    }

    /// Server as "ip:port", IPv6 in brackets.
    #[getter]
    fn server(&self) -> String {
        self.record.sides[1].address.to_string()
    }

    /// VLAN ids, outermost first.
    #[getter]
    fn vlan(&self) -> Vec<u16> {
        self.vlan_path()
    }

    /// When its first packet came, in seconds since the Unix epoch.
    #[getter]
    fn start(&self) -> f64 {
        self.record.start as f64 / 1e9
    }

    /// When its last packet came, in seconds since the Unix epoch.
    #[getter]
    fn end(&self) -> f64 {
        self.record.last as f64 / 1e9
    }

    /// Packets by side.
    #[getter]
    fn packets(&self) -> (u64, u64) {
        self.pair(|side| side.packets)
    }

    /// Payload bytes on the wire by side, repeated bytes counted again.
    #[getter]
    fn bytes(&self) -> (u64, u64) {
        self.pair(|side| side.bytes)
    }

    /// States by side, as at the end.
    #[getter]
    fn state(&self, py: Python<'_>) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
        let [client, server] = &self.record.sides;
        Ok((enums::state(py, client.state)?, enums::state(py, server.state)?))
    }

    /// Why it ended; `None` while it has not.
    #[getter]
    fn reason(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.record.reason.map(|reason| enums::reason(py, reason)).transpose()
    }

    /// How the connection stands, as Zeek's `conn_state` has it.
    #[getter]
    fn conn_state(&self) -> &'static str {
        self.record.conn_state.name()
    }

    /// What the connection went through, as Zeek's `history` has it: a letter for each kind of thing, upper case for what
    /// the client sent.
    #[getter]
    fn history(&self) -> &str {
        &self.record.history
    }

    /// SYN, SYN/ACK and the acknowledgement of the latter were seen.
    #[getter]
    fn handshake(&self) -> bool {
        self.record.handshake
    }

    /// Its first packet was no SYN.
    #[getter]
    fn midstream(&self) -> bool {
        self.record.midstream
    }

    /// Retransmitted segments by side, for `syn`, `synack`, `fin` and `data`.
    #[getter]
    fn rexmit<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let rexmits = PyDict::new(py);
        for kind in RexmitKind::ALL {
            rexmits.set_item(kind.name(), self.pair(|side| side.rexmits.count(kind)))?;
        }
        Ok(rexmits)
    }

    /// Bytes that were never seen, by side: lists of offset and length.
    #[getter]
    #[allow(clippy::type_complexity)] // a pair of lists of pairs, which Python sees as such
    fn gaps(&self) -> (Vec<(u64, u64)>, Vec<(u64, u64)>) {
        self.pair(|side| side.gaps.iter().map(|gap| (gap.offset, gap.length)).collect())
    }

    /// How often each anomaly occurred, by name.
    #[getter]
    fn anomalies<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let anomalies = PyDict::new(py);
        for (anomaly, count) in &self.record.anomalies {
            anomalies.set_item(anomaly.name(), count)?;
        }
        Ok(anomalies)
    }

    /// Length and SHA-256 (in hexadecimal) of the streams by side; `None` if they were not hashed.
    #[getter]
    #[allow(clippy::type_complexity)] // a pair of pairs, which Python sees as such
    fn digest(&self) -> (Option<(u64, String)>, Option<(u64, String)>) {
        self.pair(|side| side.digest.as_ref().map(|(length, sha256)| (*length, hex(sha256))))
    }

    /// The record as one line of JSON; times in seconds with 9 decimals.
    fn to_json(&self) -> String {
        self.json().to_string()
    }

    fn __repr__(&self) -> String {
        let reason = self.record.reason.map_or("open", |reason| reason.name());
        format!("<midsock.FlowRecord {} {} -> {} {reason}>", self.record.number, self.client(), self.server())
    }
}
