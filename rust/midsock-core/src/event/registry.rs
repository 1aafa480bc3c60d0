//! Who wants what: monitoring sockets, user-defined events and registrations.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Action, Brief, Expr, Hook, Kind, Program};
use crate::Side;
use crate::reassembly::{Overlap, Urgent};
use crate::scope::{Scope, Tuple};

/// A built-in or user-defined event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(u32);

impl From<Kind> for EventId {
    fn from(kind: Kind) -> EventId {
        EventId(kind as u32)
    }
}

impl EventId {
    /// The built-in condition, if it is one.
    pub fn built_in(self) -> Option<Kind> {
        Kind::ALL.get(self.0 as usize).copied()
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);
    )*};
}

ids! {
    /// A monitoring socket.
    MonitorId;
    /// A registration.
    RegistrationId;
    /// A native counter.
    CountId;
    /// A collector of rows.
    BatchId;
    /// Something of the application's that is called; it chooses the number.
    HandlerId;
}

/// When a user-defined event fires, given that its parent did.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Whenever the parent does.
    Always,
    /// When the expression holds.
    Expr(Arc<Expr>),
    /// When the application says so, asked by this number of its own.
    External(u32),
    /// Only when the application raises it.
    Never,
}

/// One wish: on this event, at this hook, for this side, do that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Registration {
    /// The event.
    pub event: EventId,
    /// When.
    pub hook: Hook,
    /// Only events of this side.
    pub side: Option<Side>,
    /// What to do.
    pub action: Action,
}

/// What kind of monitoring socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MonitorKind {
    /// TCP flows.
    Stream,
    /// Packets as they come.
    Raw,
}

/// What a monitoring socket says of the streams it watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamSettings {
    /// Whose state is tracked.
    pub track: [bool; 2],
    /// Whether streams are put together; `None`: as far as somebody looks at them.
    pub reassemble: Option<bool>,
    /// Bytes of each side's stream that are wanted.
    pub depth: u64,
    /// Cap on each side's held and unread bytes.
    pub buffer: u64,
    /// How overlap is settled.
    pub overlap: Overlap,
    /// How many bytes behind those unacknowledged are kept to be compared with what repeats them; `None`: only bytes that
    /// were not handed on yet are compared.
    pub compare: Option<u64>,
    /// Inline, whether rejected bytes of a segment are replaced by those that its receiver's application has.
    pub normalize: bool,
    /// What is made of urgent data.
    pub urgent: Urgent,
    /// Whether the streams are hashed.
    pub digest: bool,
}

impl Default for StreamSettings {
    fn default() -> StreamSettings {
        StreamSettings {
            track: [true; 2],
            reassemble: None,
            depth: u64::MAX,
            buffer: 1 << 20,
            overlap: Overlap::First,
            compare: None,
            normalize: false,
            urgent: Urgent::Oob,
            digest: false,
        }
    }
}

impl StreamSettings {
    /// How far back bytes are compared; whoever wants to replace rejected ones has to know the others.
    pub fn reach(&self) -> Option<u64> {
        self.compare.or(self.normalize.then_some(0))
    }

    /// What serves both of two monitoring sockets; where they contradict each other, the older one decides.
    fn merge(self, other: StreamSettings) -> StreamSettings {
        StreamSettings {
            track: [self.track[0] || other.track[0], self.track[1] || other.track[1]],
            reassemble: match (self.reassemble, other.reassemble) {
                (Some(a), Some(b)) => Some(a || b),
                (Some(true), _) | (_, Some(true)) => Some(true),
                _ => None,
            },
            depth: self.depth.max(other.depth),
            buffer: self.buffer.max(other.buffer),
            overlap: self.overlap,
            compare: self.compare.max(other.compare),
            normalize: self.normalize || other.normalize,
            urgent: self.urgent,
            digest: self.digest || other.digest,
        }
    }
}

/// A monitoring socket.
#[derive(Clone, Debug)]
pub struct Monitor {
    /// Flows or packets.
    pub kind: MonitorKind,
    /// Which.
    pub scope: Scope,
    /// What of their streams.
    pub settings: StreamSettings,
    registrations: Vec<RegistrationId>,
    is_open: bool,
}

/// Why a registration cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The event is not known before that hook, or not any more.
    #[error("{event} cannot be handled at {hook}: choose {choices}")]
    Hook {
        /// The built-in event.
        event: &'static str,
        /// The hook that was asked for.
        hook: &'static str,
        /// Those it has.
        choices: String,
    },
    /// The event concerns packets or flows, the socket the other.
    #[error("{event} never fires on a {kind} socket")]
    Kind {
        /// The built-in event.
        event: &'static str,
        /// The socket's kind.
        kind: &'static str,
    },
    /// The socket was closed.
    #[error("the monitoring socket is closed")]
    Closed,
}

#[derive(Debug)]
struct Definition {
    parent: Option<EventId>,
    filter: Filter,
}

/// A program and who uses it.
struct Use {
    monitors: Box<[MonitorId]>,
    extras: Box<[RegistrationId]>,
    program: Arc<Program>,
    flows: u64,
}

/// A registration and how many programs name it by itself.
struct Entry {
    registration: Registration,
    uses: u32,
}

type Combination = (Box<[MonitorId]>, Box<[RegistrationId]>);

/// All monitoring sockets, user-defined events, registrations and the programs they come to.
#[derive(Default)]
pub struct Registry {
    monitors: Vec<Monitor>,
    definitions: Vec<Definition>,
    known_definitions: HashMap<(Option<EventId>, String), EventId>,
    registrations: HashMap<RegistrationId, Entry>,
    known_registrations: HashMap<Registration, RegistrationId>,
    next_registration: u32,
    programs: Vec<Option<Use>>,
    /// The brief of each of them.
    briefs: Vec<Brief>,
    known_programs: HashMap<Combination, u32>,
    /// The programs without per-flow registrations: the few that new flows get.
    shared_programs: HashMap<Box<[MonitorId]>, u32>,
    /// The one of them that the last new flow got: the next one nearly always gets it, too.
    last_shared: u32,
    free_programs: Vec<u32>,
    /// Batches that look at the bytes of streams.
    data_batches: Vec<BatchId>,
    released: Vec<HandlerId>,
    scratch: Vec<MonitorId>,
}

impl Registry {
    /// Opens a monitoring socket.
    pub fn open(&mut self, kind: MonitorKind, scope: Scope, settings: StreamSettings) -> MonitorId {
        let registrations = Vec::new();
        self.monitors.push(Monitor { kind, scope, settings, registrations, is_open: true });
        MonitorId(self.monitors.len() as u32 - 1)
    }

    /// Closes a monitoring socket: nothing of it fires any more.
    pub fn close(&mut self, id: MonitorId) {
        let monitor = &mut self.monitors[id.0 as usize];
        monitor.is_open = false;
        for registration in std::mem::take(&mut monitor.registrations) {
            self.release(registration);
        }
        self.recompile(id);
    }

    /// A monitoring socket.
    pub fn monitor(&self, id: MonitorId) -> &Monitor {
        &self.monitors[id.0 as usize]
    }

    /// Whether any raw socket is open: only then packets are shown to [`Registry::raw_monitors`].
    pub fn has_raw(&self) -> bool {
        self.monitors.iter().any(|monitor| monitor.is_open && monitor.kind == MonitorKind::Raw)
    }

    /// Open monitoring sockets of a kind whose scope takes this tuple.
    pub fn watching(&self, kind: MonitorKind, tuple: &Tuple) -> impl Iterator<Item = MonitorId> {
        self.monitors
            .iter()
            .enumerate()
            .filter(move |(_, monitor)| {
                monitor.is_open && monitor.kind == kind && monitor.scope.matches(tuple)
            })
            .map(|(id, _)| MonitorId(id as u32))
    }

    /// Defines an event: a parent and a filter. The same definition twice is the same event.
    pub fn define(&mut self, parent: Option<EventId>, filter: Filter) -> EventId {
        let text = match &filter {
            Filter::Always => String::new(),
            Filter::Expr(expr) => expr.to_string(),
            Filter::External(number) => format!("external {number}"),
            // Each event that only the application raises is one of its own.
            Filter::Never => format!("never {}", self.definitions.len()),
        };
        *self.known_definitions.entry((parent, text)).or_insert_with(|| {
            self.definitions.push(Definition { parent, filter });
            EventId((Kind::ALL.len() + self.definitions.len() - 1) as u32)
        })
    }

    /// The built-in event at the root of an event's ancestors; [`Kind::User`] if the application raises it.
    pub fn root(&self, mut event: EventId) -> Kind {
        loop {
            if let Some(kind) = event.built_in() {
                return kind;
            }
            match self.definition(event).parent {
                Some(parent) => event = parent,
                None => return Kind::User,
            }
        }
    }

    fn definition(&self, event: EventId) -> &Definition {
        &self.definitions[event.0 as usize - Kind::ALL.len()]
    }

    /// Says that a batch looks at the bytes of streams.
    pub fn note_data_batch(&mut self, batch: BatchId) {
        self.data_batches.push(batch);
    }

    /// Registers a wish for all flows of a monitoring socket.
    pub fn register(
        &mut self,
        id: MonitorId,
        registration: Registration,
    ) -> Result<RegistrationId, RegistryError> {
        let kind = self.root(registration.event);
        let monitor = self.monitor(id);
        if !monitor.is_open {
            return Err(RegistryError::Closed);
        }
        if monitor.kind == MonitorKind::Raw && !matches!(kind, Kind::PktIn | Kind::Orphan) {
            return Err(RegistryError::Kind { event: kind.name(), kind: "raw" });
        }
        let registered = self.intern(registration)?;
        self.monitors[id.0 as usize].registrations.push(registered);
        self.recompile(id);
        Ok(registered)
    }

    /// Takes a wish back.
    pub fn unregister(&mut self, id: MonitorId, registration: RegistrationId) {
        let registrations = &mut self.monitors[id.0 as usize].registrations;
        if let Some(place) = registrations.iter().position(|known| *known == registration) {
            registrations.remove(place);
            self.release(registration);
            self.recompile(id);
        }
    }

    fn intern(&mut self, registration: Registration) -> Result<RegistrationId, RegistryError> {
        let kind = self.root(registration.event);
        if !kind.hooks().contains(&registration.hook) {
            let choices: Vec<&str> = kind.hooks().iter().map(|hook| hook.name()).collect();
            return Err(RegistryError::Hook {
                event: kind.name(),
                hook: registration.hook.name(),
                choices: choices.join(" or "),
            });
        }
        let next = RegistrationId(self.next_registration);
        let id = *self.known_registrations.entry(registration).or_insert(next);
        if id == next {
            self.next_registration += 1;
        }
        self.registrations.entry(id).or_insert(Entry { registration, uses: 0 }).uses += 1;
        Ok(id)
    }

    fn release(&mut self, id: RegistrationId) {
        let Some(entry) = self.registrations.get_mut(&id) else { return };
        entry.uses -= 1;
        if entry.uses == 0 {
            let registration = entry.registration;
            self.registrations.remove(&id);
            self.known_registrations.remove(&registration);
            if let Action::Call(handler) = registration.action {
                self.released.push(handler);
            }
        }
    }

    /// Handlers that no registration names any more.
    pub fn take_released(&mut self) -> Vec<HandlerId> {
        let mut released = std::mem::take(&mut self.released);
        let is_used = |handler: &HandlerId| {
            self.registrations.values().any(|entry| entry.registration.action == Action::Call(*handler))
        };
        released.retain(|handler| !is_used(handler));
        released
    }

    /// The program of the monitoring sockets that watch a new flow, if any does; the flow counts as its user.
    pub fn program_for(&mut self, tuple: &Tuple) -> Option<u32> {
        let mut watching = std::mem::take(&mut self.scratch);
        watching.clear();
        watching.extend(self.watching(MonitorKind::Stream, tuple));
        let number = (!watching.is_empty()).then(|| self.shared_program(&watching));
        self.scratch = watching;
        self.enter(number?);
        number
    }

    /// The program of these monitoring sockets without per-flow registrations.
    fn shared_program(&mut self, watching: &[MonitorId]) -> u32 {
        let last = self.programs.get(self.last_shared as usize).and_then(Option::as_ref);
        if last.is_some_and(|used| used.extras.is_empty() && *used.monitors == *watching) {
            return self.last_shared;
        }
        let number = if let Some(number) = self.shared_programs.get(watching) {
            *number
        } else {
            let number = self.program((watching.into(), [].into()));
            self.shared_programs.insert(watching.into(), number);
            number
        };
        self.last_shared = number;
        number
    }

    /// The program of a flow that gets one more registration of its own; moves the flow's use over.
    pub fn extend(&mut self, program: u32, registration: Registration) -> Result<u32, RegistryError> {
        let id = self.intern(registration)?;
        let current = self.used(program);
        let mut extras = current.extras.to_vec();
        // Kept in order, so that the order of registering makes no second program of the same content.
        if let Err(place) = extras.binary_search(&id) {
            extras.insert(place, id);
        }
        let combination = (current.monitors.clone(), extras.into());
        let number = self.program(combination);
        self.enter(number);
        // The program has taken its own share in the registration.
        self.release(id);
        self.leave(program);
        Ok(number)
    }

    fn program(&mut self, combination: Combination) -> u32 {
        if let Some(number) = self.known_programs.get(&combination) {
            return *number;
        }
        let number = self.free_programs.pop().unwrap_or(self.programs.len() as u32);
        let program = self.compile(&combination.0, &combination.1);
        for id in &combination.1 {
            if let Some(entry) = self.registrations.get_mut(id) {
                entry.uses += 1;
            }
        }
        let (monitors, extras) = combination.clone();
        let brief = program.brief();
        let entry = Some(Use { monitors, extras, program, flows: 0 });
        if number as usize == self.programs.len() {
            self.programs.push(entry);
            self.briefs.push(brief);
        } else {
            self.programs[number as usize] = entry;
            self.briefs[number as usize] = brief;
        }
        self.known_programs.insert(combination, number);
        number
    }

    fn used(&self, number: u32) -> &Use {
        // Flows name only programs that they use, and a program lives as long as it is used.
        self.programs[number as usize].as_ref().expect("a program in use")
    }

    fn enter(&mut self, number: u32) {
        if let Some(used) = &mut self.programs[number as usize] {
            used.flows += 1;
        }
    }

    /// A flow does not use its program any more.
    pub fn leave(&mut self, number: u32) {
        let Some(used) = &mut self.programs[number as usize] else { return };
        used.flows -= 1;
        // Those without per-flow registrations are few, and the next flow will want them.
        if used.flows > 0 || used.extras.is_empty() {
            return;
        }
        if let Some(used) = self.programs[number as usize].take() {
            for id in &used.extras {
                self.release(*id);
            }
            self.known_programs.remove(&(used.monitors, used.extras));
            self.free_programs.push(number);
        }
    }

    /// A program.
    #[inline]
    pub fn get(&self, number: u32) -> &Arc<Program> {
        &self.used(number).program
    }

    /// What every packet asks of a program.
    #[inline]
    pub fn brief(&self, number: u32) -> &Brief {
        &self.briefs[number as usize]
    }

    /// The monitoring sockets of a program.
    pub fn monitors_of(&self, number: u32) -> &[MonitorId] {
        &self.used(number).monitors
    }

    /// The program of one monitoring socket alone, for packets without a flow.
    pub fn program_of(&mut self, id: MonitorId) -> Arc<Program> {
        let number = self.program(([id].into(), [].into()));
        self.get(number).clone()
    }

    fn recompile(&mut self, changed: MonitorId) {
        for number in 0..self.programs.len() {
            let Some(used) = &self.programs[number] else { continue };
            if used.monitors.contains(&changed) {
                let program = self.compile(&used.monitors, &used.extras);
                if let Some(used) = &mut self.programs[number] {
                    self.briefs[number] = program.brief();
                    used.program = program;
                }
            }
        }
    }

    fn compile(&self, monitors: &[MonitorId], extras: &[RegistrationId]) -> Arc<Program> {
        let open = || monitors.iter().map(|id| self.monitor(*id)).filter(|monitor| monitor.is_open);
        let settings =
            open().map(|monitor| monitor.settings).reduce(StreamSettings::merge).unwrap_or_default();
        let ids = open().flat_map(|monitor| &monitor.registrations).chain(extras);
        let registrations = ids.filter_map(|id| self.registrations.get(id)).map(|entry| &entry.registration);
        let lookup = |event: EventId| {
            let definition = self.definition(event);
            (definition.parent, definition.filter.clone())
        };
        let reads_data = |registration: &Registration| match registration.action {
            Action::Call(_) => true,
            Action::Batch(batch) => self.data_batches.contains(&batch),
            Action::Count(_) => false,
        };
        Arc::new(Program::compile(registrations, settings, &lookup, &reads_data))
    }
}
