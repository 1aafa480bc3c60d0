//! The socket of a flow, and its two endpoints.

use std::sync::OnceLock;

use midsock_core::Side;
use midsock_core::event::{End, EndField, Field, Registration, Value};
use midsock_core::flow::{FlowId, FlowRecord as Record, SideRecord};
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::edit::to_address;
use crate::enums;
use crate::error::{inline_error, modify_error, no_flow, registry_error};
use crate::event::to_python;
use crate::event_type::EventType;
use crate::monitor::{decorate, to_registration};
use crate::options::{to_overlap, to_urgent};
use crate::record::FlowRecord;
use crate::stack::Stack;
use crate::timer::Timer;

/// A flow's socket: the same object for the flow's whole life.
///
/// Once the flow has ended and was freed, what is known of it can still be asked; its stream can be neither read nor
/// steered any more (`FlowEndedError`).
#[pyclass(frozen, module = "midsock")]
pub(crate) struct FlowSocket {
    stack: Py<Stack>,
    id: FlowId,
    user: std::sync::Mutex<Option<Py<PyAny>>>,
    record: OnceLock<Record>,
}

/// The Python member for a number that stands for one.
pub(crate) fn as_enum(py: Python<'_>, field: Field, value: u64) -> PyResult<Option<Py<PyAny>>> {
    use midsock_core::flow::EndReason;
    use midsock_core::tcp::{Anomaly, RexmitKind, State};
    let place = value as usize;
    Ok(match field {
        Field::EventSide => Side::BOTH.get(place).map(|side| enums::side(py, *side)).transpose()?,
        Field::EventOld | Field::EventNew | Field::Endpoint(_, EndField::State) => {
            State::ALL.get(place).map(|state| enums::state(py, *state)).transpose()?
        }
        Field::EventReason => {
            EndReason::ALL.get(place).map(|reason| enums::reason(py, *reason)).transpose()?
        }
        Field::EventRexmit => RexmitKind::ALL.get(place).map(|kind| enums::rexmit(py, *kind)).transpose()?,
        Field::EventAnomaly => {
            Anomaly::ALL.get(place).map(|anomaly| enums::anomaly(py, *anomaly)).transpose()?
        }
        _ => None,
    })
}

impl FlowSocket {
    pub(crate) fn new(stack: Py<Stack>, id: FlowId) -> FlowSocket {
        FlowSocket { stack, id, user: std::sync::Mutex::new(None), record: OnceLock::new() }
    }

    /// The flow was freed: this is what remains of it.
    pub(crate) fn keep_record(&self, _py: Python<'_>, record: Record) {
        // A flow is freed once.
        drop(self.record.set(record));
    }

    /// What is known of the flow, now or at its end.
    fn snapshot(&self, py: Python<'_>) -> PyResult<Record> {
        if let Some(record) = self.record.get() {
            return Ok(record.clone());
        }
        let state = self.stack.get().lock(py);
        state.core()?.record(self.id).map_err(no_flow)
    }

    fn ask<T>(
        &self,
        py: Python<'_>,
        field: Field,
        live: impl FnOnce(Option<Value<'_>>) -> T,
        ended: impl FnOnce(&Record) -> T,
    ) -> PyResult<T> {
        if let Some(record) = self.record.get() {
            return Ok(ended(record));
        }
        let state = self.stack.get().lock(py);
        state.core()?.flow_field(self.id, field, live).map_err(no_flow)
    }

    fn ask_text(
        &self,
        py: Python<'_>,
        field: Field,
        ended: impl FnOnce(&Record) -> String,
    ) -> PyResult<String> {
        let live = |value: Option<Value<'_>>| match value {
            Some(Value::Text(text)) => text.to_owned(),
            _ => String::new(),
        };
        self.ask(py, field, live, ended)
    }

    fn ask_int(&self, py: Python<'_>, field: Field, ended: impl FnOnce(&Record) -> u64) -> PyResult<u64> {
        let live = |value: Option<Value<'_>>| match value {
            Some(Value::Int(value)) => value,
            Some(Value::Time(value)) => value.max(0) as u64,
            _ => 0,
        };
        self.ask(py, field, live, ended)
    }
}

#[pymethods]
impl FlowSocket {
    /// The end that sent the first SYN.
    #[getter]
    fn client(slf: Py<Self>) -> Endpoint {
        Endpoint { sock: slf, side: Side::Client }
    }

    /// The other end.
    #[getter]
    fn server(slf: Py<Self>) -> Endpoint {
        Endpoint { sock: slf, side: Side::Server }
    }

    /// The end of this side: `sock[event.side]`.
    fn __getitem__(slf: Py<Self>, side: u8) -> PyResult<Endpoint> {
        Ok(Endpoint { sock: slf, side: enums::to_side(side)? })
    }

    /// The flow's number: flows are counted from 0 in the order in which they were opened.
    #[getter]
    fn id(&self) -> u64 {
        self.id.number
    }

    /// All that is known of the flow: a `FlowRecord` of this moment.
    #[getter]
    fn flow(&self, py: Python<'_>) -> PyResult<FlowRecord> {
        self.snapshot(py).map(FlowRecord::new)
    }

    /// When its first packet came, in seconds since the Unix epoch.
    #[getter]
    fn start(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(self.ask_int(py, Field::FlowStart, |record| record.start.max(0) as u64)? as f64 / 1e9)
    }

    /// Seconds from its first packet to its last.
    #[getter]
    fn duration(&self, py: Python<'_>) -> PyResult<f64> {
        let ended = |record: &Record| (record.last - record.start).max(0) as u64;
        Ok(self.ask_int(py, Field::FlowDuration, ended)? as f64 / 1e9)
    }

    /// Its first packet was no SYN.
    #[getter]
    fn midstream(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.ask_int(py, Field::FlowMidstream, |record| record.midstream.into())? != 0)
    }

    /// SYN, SYN/ACK and the acknowledgement of the latter were seen.
    #[getter]
    fn handshake(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.ask_int(py, Field::FlowHandshake, |record| record.handshake.into())? != 0)
    }

    /// How the connection stands, as Zeek's `conn_state` has it.
    #[getter]
    fn conn_state(&self, py: Python<'_>) -> PyResult<String> {
        self.ask_text(py, Field::FlowConnState, |record| record.conn_state.name().to_owned())
    }

    /// What the connection went through, as Zeek's `history` has it: a letter for each kind of thing, upper case for what
    /// the client sent.
    #[getter]
    fn history(&self, py: Python<'_>) -> PyResult<String> {
        self.ask_text(py, Field::FlowHistory, |record| record.history.to_string())
    }

    /// Whether it has ended: its streams can be neither read nor steered any more.
    #[getter]
    fn ended(&self, py: Python<'_>) -> PyResult<bool> {
        if self.record.get().is_some() {
            return Ok(true);
        }
        Ok(!self.stack.get().lock(py).core()?.is_open(self.id))
    }

    /// Whatever the application keeps with the flow; `None` at first.
    #[getter]
    fn user(&self, py: Python<'_>) -> Py<PyAny> {
        let user = self.user.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        user.as_ref().map_or_else(|| py.None(), |user| user.clone_ref(py))
    }

    #[setter]
    fn set_user(&self, value: Py<PyAny>) {
        let mut user = self.user.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let old = user.replace(value);
        drop(user);
        drop(old);
    }

    /// The stack it belongs to.
    #[getter]
    fn stack(&self, py: Python<'_>) -> Py<Stack> {
        self.stack.clone_ref(py)
    }

    /// Registers `handler(sock, event)` for this flow alone; without a handler, returns a decorator.
    #[pyo3(signature = (event, handler=None, *, hook=2, side=None, filter=None))]
    fn on(
        slf: Py<Self>,
        py: Python<'_>,
        event: Py<EventType>,
        handler: Option<&Bound<'_, PyAny>>,
        hook: u8,
        side: Option<u8>,
        filter: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        decorate(py, handler, move |handler| {
            let (py, sock) = (handler.py(), slf.get());
            let filter = filter.as_ref().map(|filter| filter.bind(py));
            let wish: Registration =
                to_registration(&sock.stack, py, event.get(), filter, hook, side, handler)?;
            let mut state = sock.stack.get().lock(py);
            let made = state.core_mut()?.register_flow(sock.id, wish).map_err(no_flow)?;
            made.map_err(|error| registry_error(&error))
        })
    }

    /// Raises a user-defined event on this flow, whatever its filter says; its handlers run after the one at work.
    fn emit(&self, py: Python<'_>, event: &EventType) -> PyResult<()> {
        let mut state = self.stack.get().lock(py);
        let id = crate::monitor::define(&mut state, py, &event.definition)?;
        state.core_mut()?.raise(self.id, id).map_err(no_flow)
    }

    /// Drops whatever comes of the flow from now on, the packet at hand included. Its end is told as stopped.
    fn drop(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.stack.get().lock(py);
        state.core_mut()?.drop_flow(self.id).map_err(|error| inline_error(&error))
    }

    /// Sends both ends a RST, and answers with one whatever comes of the flow from now on, which is dropped. Its end is
    /// told as reset.
    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.stack.get().lock(py);
        state.core_mut()?.reset(self.id).map_err(|error| inline_error(&error))
    }

    /// Gives its ends other addresses and ports, pairs such as `("10.0.0.1", 4000)`, as they are beyond the stack: the
    /// server sees `client`, and what the client sends goes to `server`. Packets that come back are the flow's, and here
    /// it keeps its own addresses.
    #[pyo3(signature = (*, client=None, server=None))]
    fn translate(
        &self,
        py: Python<'_>,
        client: Option<&Bound<'_, PyAny>>,
        server: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let ends = [client.map(to_address).transpose()?, server.map(to_address).transpose()?];
        let mut state = self.stack.get().lock(py);
        for (side, address) in Side::BOTH.into_iter().zip(ends) {
            if let Some(address) = address {
                let done = state.core_mut()?.translate(self.id, side, address);
                done.map_err(|error| modify_error(&error))?;
            }
        }
        Ok(())
    }

    /// Stops watching the flow: its state is freed at once, its end is told, and later packets of it only pass.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.stack.get().lock(py);
        state.core_mut()?.stop(self.id).map_err(no_flow)
    }

    /// Sets a timer that fires once `seconds` of packet time have passed: it raises `ON_TIMER` on this flow and calls
    /// `handler(sock, event)`, if one is given. The flow's end takes it back.
    #[pyo3(signature = (seconds, handler=None))]
    fn timer(&self, py: Python<'_>, seconds: f64, handler: Option<&Bound<'_, PyAny>>) -> PyResult<Timer> {
        Timer::set(self.stack.bind(py), Some(self.id), seconds, handler, 0)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        match self.snapshot(py) {
            Ok(record) => {
                let [client, server] = &record.sides;
                let end =
                    record.reason.map_or_else(String::new, |reason| format!(" ended: {}", reason.name()));
                format!(
                    "<midsock.FlowSocket {} {} {} -> {} {}{end}>",
                    record.number, client.address, client.state, server.address, server.state
                )
            }
            Err(_) => format!("<midsock.FlowSocket {} gone>", self.id.number),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.stack)?;
        if let Ok(user) = self.user.try_lock()
            && let Some(user) = &*user
        {
            visit.call(user)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let user = self.user.try_lock().map(|mut user| user.take());
        drop(user);
    }
}

/// One end of a flow.
#[pyclass(frozen, module = "midsock")]
pub(crate) struct Endpoint {
    sock: Py<FlowSocket>,
    side: Side,
}

impl Endpoint {
    fn end(&self) -> End {
        match self.side {
            Side::Client => End::Client,
            Side::Server => End::Server,
        }
    }

    /// A number, asked of the live flow or of what remains of it; none where it does not apply.
    fn number(
        &self,
        py: Python<'_>,
        field: EndField,
        ended: impl FnOnce(&SideRecord) -> Option<u64>,
    ) -> PyResult<Option<u64>> {
        let live = |value: Option<Value<'_>>| match value {
            Some(Value::Int(value)) => Some(value),
            _ => None,
        };
        let sock = self.sock.get();
        let field = Field::Endpoint(self.end(), field);
        sock.ask(py, field, live, |record| ended(&record.sides[self.side.index()]))
    }

    fn record<T>(&self, py: Python<'_>, get: impl FnOnce(&SideRecord) -> T) -> PyResult<T> {
        Ok(get(&self.sock.get().snapshot(py)?.sides[self.side.index()]))
    }

    fn with_core<T>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut crate::stack::Core, FlowId, Side) -> Result<T, midsock_core::NoFlow>,
    ) -> PyResult<T> {
        let sock = self.sock.get();
        let mut state = sock.stack.get().lock(py);
        act(state.core_mut()?, sock.id, self.side).map_err(no_flow)
    }
}

fn limit(n: Option<i64>) -> PyResult<usize> {
    match n {
        None | Some(-1) => Ok(usize::MAX),
        Some(n) => usize::try_from(n).map_err(|_| PyValueError::new_err("the number of bytes is 0 or more")),
    }
}

#[pymethods]
impl Endpoint {
    /// `CLIENT` or `SERVER`.
    #[getter]
    fn side(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        enums::side(py, self.side)
    }

    /// Its IP address.
    #[getter]
    fn ip(&self, py: Python<'_>) -> PyResult<String> {
        self.record(py, |side| side.address.ip().to_string())
    }

    /// Its port.
    #[getter]
    fn port(&self, py: Python<'_>) -> PyResult<u16> {
        self.record(py, |side| side.address.port())
    }

    /// Its TCP state (RFC 9293, section 3.3.2).
    #[getter]
    fn state(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let number = self.number(py, EndField::State, |side| Some(side.state as u64))?;
        let field = Field::Endpoint(self.end(), EndField::State);
        to_python(py, field, number.map(Value::Int))
    }

    /// Its initial sequence number; `None` if its SYN was not seen.
    #[getter]
    fn isn(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        self.number(py, EndField::Isn, |side| side.isn.map(|seq| seq.0.into()))
    }

    /// One beyond the highest sequence number it sent; `None` before it sent anything.
    #[getter]
    fn next_seq(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        self.number(py, EndField::NextSeq, |side| side.next.map(|seq| seq.0.into()))
    }

    /// The highest sequence number that the other end acknowledged to it; `None` before it did.
    #[getter]
    fn ack(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        self.number(py, EndField::Acked, |side| side.acked.map(|seq| seq.0.into()))
    }

    /// The receive window that it advertised last, in bytes, scaled; `None` before it acknowledged anything.
    #[getter]
    fn window(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        self.number(py, EndField::WindowSize, |side| side.window.map(u64::from))
    }

    /// The maximum segment size that it announced, in bytes; `None` if it announced none.
    #[getter]
    fn mss(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        self.number(py, EndField::Mss, |side| side.mss.map(u64::from))
    }

    /// Smoothed round-trip time from here to the *other* end and back, in seconds, by timestamps (RFC 7323) or
    /// acknowledgements (RFC 6298); `None` before the first measure.
    #[getter]
    fn rtt(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        let nanos = self.number(py, EndField::Rtt, |side| side.rtt.map(|rtt| rtt.max(0) as u64))?;
        Ok(nanos.map(|nanos| nanos as f64 / 1e9))
    }

    /// Payload bytes that it sent on the wire, repeated bytes counted again.
    #[getter]
    fn bytes(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.number(py, EndField::Bytes, |side| Some(side.bytes))?.unwrap_or(0))
    }

    /// Packets that it sent.
    #[getter]
    fn packets(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.number(py, EndField::Packets, |side| Some(side.packets))?.unwrap_or(0))
    }

    /// Segments that it retransmitted.
    #[getter]
    fn rexmits(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.number(py, EndField::Rexmits, |side| Some(side.rexmits.total()))?.unwrap_or(0))
    }

    /// Segments of it that came before others that precede them.
    #[getter]
    fn out_of_order(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.number(py, EndField::OutOfOrder, |side| Some(side.out_of_order.into()))?.unwrap_or(0))
    }

    /// Keep-alives that it sent.
    #[getter]
    fn keep_alives(&self, py: Python<'_>) -> PyResult<u32> {
        self.record(py, |side| side.keep_alives)
    }

    /// Zero-window probes that it sent.
    #[getter]
    fn window_probes(&self, py: Python<'_>) -> PyResult<u32> {
        self.record(py, |side| side.window_probes)
    }

    /// Bytes of its stream that were never seen: pairs of offset and length.
    #[getter]
    fn gaps(&self, py: Python<'_>) -> PyResult<Vec<(u64, u64)>> {
        self.record(py, |side| side.gaps.iter().map(|gap| (gap.offset, gap.length)).collect())
    }

    /// Stream offset of its first unread byte.
    #[getter]
    fn offset(&self, py: Python<'_>) -> PyResult<u64> {
        self.with_core(py, |core, flow, side| core.unread_offset(flow, side))
    }

    /// Takes up to `n` unread bytes of its stream, or all, up to the next gap. Nothing to read is `b""`.
    ///
    /// From the first `read` or `peek` on, what stays unread is kept, up to `buffer` bytes.
    #[pyo3(signature = (n=None))]
    fn read<'py>(&self, py: Python<'py>, n: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let limit = limit(n)?;
        self.with_core(py, |core, flow, side| core.read(flow, side, limit, |bytes| PyBytes::new(py, bytes)))
    }

    /// Between two ports: puts bytes into its stream, behind all that it has sent so far, for the other end to receive. It
    /// never learns of them itself.
    fn inject(&self, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        let sock = self.sock.get();
        let mut state = sock.stack.get().lock(py);
        state.core_mut()?.inject(sock.id, self.side, data).map_err(|error| modify_error(&error))
    }

    /// Between two ports: lets nothing of its stream pass that would leave a hole behind (or does no more), so that
    /// whatever is in it can be replaced by data of another length. What comes early is withheld until it is sent again.
    #[pyo3(signature = (on=true))]
    fn keep_order(&self, py: Python<'_>, on: bool) -> PyResult<()> {
        let sock = self.sock.get();
        let mut state = sock.stack.get().lock(py);
        state.core_mut()?.keep_order(sock.id, self.side, on).map_err(|error| modify_error(&error))
    }

    /// Like `read`, but leaves the bytes unread.
    #[pyo3(signature = (n=None))]
    fn peek<'py>(&self, py: Python<'py>, n: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let limit = limit(n)?;
        self.with_core(py, |core, flow, side| {
            core.begin_reading(flow, side)?;
            let unread = core.unread(flow, side)?;
            Ok(PyBytes::new(py, &unread[..unread.len().min(limit)]))
        })
    }

    /// Up to `n` unread bytes from this stream offset on, left unread; `b""` where nothing is.
    fn peek_at<'py>(&self, py: Python<'py>, offset: u64, n: i64) -> PyResult<Bound<'py, PyBytes>> {
        let limit = limit(Some(n))?;
        self.with_core(py, |core, flow, side| {
            core.begin_reading(flow, side)?;
            Ok(PyBytes::new(py, core.peek_at(flow, side, offset, limit)?))
        })
    }

    /// Whether its state is tracked. While it is not, its segments are counted and no more.
    #[getter]
    fn track(&self, py: Python<'_>) -> PyResult<bool> {
        self.with_core(py, |core, flow, side| Ok(core.settings(flow, side)?.track[side.index()]))
    }

    #[setter]
    fn set_track(&self, py: Python<'_>, on: bool) -> PyResult<()> {
        self.with_core(py, |core, flow, side| core.set_track(flow, side, on))
    }

    /// Whether its stream is put together. Set to `True`, unread bytes are kept; set to `False`, nothing of the stream
    /// is told or kept any more.
    #[getter]
    fn reassemble(&self, py: Python<'_>) -> PyResult<bool> {
        self.with_core(py, |core, flow, side| Ok(core.settings(flow, side)?.reassemble == Some(true)))
    }

    #[setter]
    fn set_reassemble(&self, py: Python<'_>, on: bool) -> PyResult<()> {
        self.with_core(py, |core, flow, side| core.set_reassemble(flow, side, on))
    }

    /// How many bytes of its stream are wanted; `None` for all.
    #[getter]
    fn depth(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        let depth = self.with_core(py, |core, flow, side| Ok(core.settings(flow, side)?.depth))?;
        Ok((depth != u64::MAX).then_some(depth))
    }

    #[setter]
    fn set_depth(&self, py: Python<'_>, depth: Option<u64>) -> PyResult<()> {
        self.with_core(py, |core, flow, side| core.set_depth(flow, side, depth.unwrap_or(u64::MAX)))
    }

    /// Cap on its out-of-order bytes, and on its unread bytes.
    #[getter]
    fn buffer(&self, py: Python<'_>) -> PyResult<u64> {
        self.with_core(py, |core, flow, side| Ok(core.settings(flow, side)?.buffer))
    }

    #[setter]
    fn set_buffer(&self, py: Python<'_>, bytes: u64) -> PyResult<()> {
        self.with_core(py, |core, flow, side| core.set_buffer(flow, side, bytes))
    }

    /// How overlap between its segments is settled: the receiver's operating system, or `first` or `last`. One of
    /// `first last bsd bsd_right linux old_linux solaris old_solaris windows windows2k3 vista macos irix hpux10
    /// hpux11`.
    #[getter]
    fn overlap(&self, py: Python<'_>) -> PyResult<&'static str> {
        self.with_core(py, |core, flow, side| Ok(core.settings(flow, side)?.overlap.name()))
    }

    #[setter]
    fn set_overlap(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        let overlap = to_overlap(name)?;
        self.with_core(py, |core, flow, side| core.set_overlap(flow, side, overlap))
    }

    /// What the receiver makes of its urgent data (RFC 6093): `oob` takes the urgent byte out of the stream, `inline`
    /// leaves it there, `drop` rejects the segment. Set, it holds for what comes from now on.
    #[getter]
    fn urgent(&self, py: Python<'_>) -> PyResult<&'static str> {
        self.with_core(py, |core, flow, side| Ok(core.settings(flow, side)?.urgent.name()))
    }

    #[setter]
    fn set_urgent(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        let urgent = to_urgent(name)?;
        self.with_core(py, |core, flow, side| core.set_urgent(flow, side, urgent))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        self.record(py, |side| format!("<midsock.Endpoint {} {} {}>", self.side, side.address, side.state))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.sock)
    }
}
