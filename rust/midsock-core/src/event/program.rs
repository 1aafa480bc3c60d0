//! What the monitoring sockets of a flow want, compiled to be asked per packet.

use std::collections::HashMap;
use std::ops::Range;

use super::registry::{CountId, EventId, Filter, HandlerId, Registration, StreamSettings};
use super::{Event, Hook, Kind, KindMask, Scene};
use crate::Side;

/// What is done when an event fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is counted.
    Count(CountId),
    /// It becomes a row.
    Batch(super::registry::BatchId),
    /// The application is called.
    Call(HandlerId),
}

/// An event of the forest, with all that hangs below it.
struct Node {
    filter: Filter,
    /// Where the walk goes on if the filter fails: behind everything below this node.
    skip: u32,
    actions: Range<u32>,
}

/// Where fired actions go.
pub trait Outlet {
    /// An action whose event fired.
    fn act(&mut self, action: Action, scene: &Scene<'_>);

    /// A filter that only the application can answer; if it says yes, [`Program::resume`] goes on below the node.
    fn ask(&mut self, filter: u32, node: u32, scene: &Scene<'_>);
}

/// The trees of one combination of monitoring sockets and per-flow registrations.
pub struct Program {
    masks: [KindMask; 3],
    roots: [[Range<u32>; Kind::ALL.len()]; 3],
    /// All trees in pre-order: a walk is a loop, whatever the depth of the forest.
    nodes: Vec<Node>,
    actions: Vec<(Option<Side>, Action)>,
    /// Where a user-defined event's own subtrees lie, for events that the application raises.
    raised: HashMap<EventId, Vec<u32>>,
    /// Whether bytes of streams are wanted, not just their ranges.
    pub collects: bool,
    /// Whether anybody looks at them, other than to hash them.
    pub reads: bool,
    /// Whether anybody can ask for the flow's history: not if all is only counted.
    pub shows_history: bool,
    /// What the monitoring sockets say of streams.
    pub settings: StreamSettings,
}

/// What every packet asks of its flow's program, kept where one load finds it.
#[allow(clippy::struct_excessive_bools)] // each answers a question of its own
#[derive(Clone, Copy, Debug, Default)]
pub struct Brief {
    masks: [KindMask; 3],
    /// Whether anybody wants to be told of what becomes of streams.
    pub told: bool,
    /// Whether bytes of streams are wanted, not just their ranges.
    pub bytes: bool,
    /// Whether somebody may read the stream later: what stays unread is kept.
    pub retains: bool,
    /// Whether streams are wanted from their first byte to their last, or not at all.
    pub whole: bool,
}

impl Brief {
    /// Which kinds anybody wants at a hook.
    #[inline]
    pub fn mask(&self, hook: Hook) -> KindMask {
        self.masks[hook as usize]
    }

    /// Which kinds anybody wants at any hook.
    #[inline]
    pub fn any_mask(&self) -> KindMask {
        self.masks[0] | self.masks[1] | self.masks[2]
    }
}

/// Looks up a user-defined event: its parent, if it has one, and its filter.
pub(super) type Lookup<'l> = &'l dyn Fn(EventId) -> (Option<EventId>, Filter);

impl Program {
    /// Compiles registrations, in the order in which they were made.
    pub(super) fn compile<'r>(
        registrations: impl Iterator<Item = &'r Registration>,
        settings: StreamSettings,
        lookup: Lookup<'_>,
        reads_data: &dyn Fn(&Registration) -> bool,
    ) -> Program {
        let mut program = Program {
            masks: [0; 3],
            roots: Default::default(),
            nodes: Vec::new(),
            actions: Vec::new(),
            raised: HashMap::new(),
            collects: false,
            reads: settings.reassemble == Some(true),
            shows_history: false,
            settings,
        };
        let mut forest = Forest::new();
        for registration in registrations {
            let mut path = vec![registration.event];
            let mut filters = Vec::new();
            let root = loop {
                let event = path[path.len() - 1];
                if let Some(kind) = event.built_in() {
                    break kind;
                }
                let (parent, filter) = lookup(event);
                filters.push(filter);
                match parent {
                    Some(parent) => path.push(parent),
                    None => break Kind::User,
                }
            };
            program.shows_history |= !matches!(registration.action, Action::Count(_))
                || filters.iter().any(|filter| match filter {
                    Filter::Expr(expr) => expr.wants_history(),
                    Filter::External(_) => true,
                    Filter::Always | Filter::Never => false,
                });
            let on_data = root == Kind::NewData;
            program.reads |= on_data
                && (reads_data(registration)
                    || filters.iter().any(|filter| match filter {
                        Filter::Expr(expr) => expr.wants_data(),
                        Filter::External(_) => true,
                        Filter::Always | Filter::Never => false,
                    }));
            let hook = registration.hook as usize;
            program.masks[hook] |= root.bit();
            let mut at = Forest::root(hook, root as usize);
            // The path runs from the registered event up to its root; the tree is entered from the root.
            let below_root = path.len() - usize::from(root != Kind::User);
            for (event, filter) in path[..below_root].iter().zip(filters).rev() {
                at = forest.child(at, *event, filter);
            }
            forest.branches[at].actions.push((registration.side, registration.action));
        }
        program.collects = program.reads || settings.digest || settings.reach().is_some();
        for hook in 0..program.roots.len() {
            for kind in 0..Kind::ALL.len() {
                let start = program.nodes.len() as u32;
                program.emit(&forest, Forest::root(hook, kind));
                program.roots[hook][kind] = start..program.nodes.len() as u32;
            }
        }
        program
    }

    /// Appends a tree in pre-order.
    fn emit(&mut self, forest: &Forest, root: usize) {
        let branch = &forest.branches[root];
        if branch.actions.is_empty() && branch.children.is_empty() {
            return;
        }
        // A work list, since a forest may be deeper than the machine's stack.
        let mut work = vec![Work::Enter(root)];
        while let Some(next) = work.pop() {
            match next {
                Work::Close(node) => self.nodes[node as usize].skip = self.nodes.len() as u32,
                Work::Enter(place) => {
                    let branch = &forest.branches[place];
                    let node = self.nodes.len() as u32;
                    let first = self.actions.len() as u32;
                    self.actions.extend(&branch.actions);
                    let actions = first..self.actions.len() as u32;
                    self.nodes.push(Node { filter: branch.filter.clone(), skip: 0, actions });
                    if let Some(event) = branch.event {
                        self.raised.entry(event).or_default().push(node);
                    }
                    work.push(Work::Close(node));
                    work.extend(branch.children.iter().rev().map(|child| Work::Enter(*child)));
                }
            }
        }
    }

    /// Which kinds anybody wants at a hook.
    #[inline]
    pub fn mask(&self, hook: Hook) -> KindMask {
        self.masks[hook as usize]
    }

    /// What every packet asks.
    pub fn brief(&self) -> Brief {
        let is_off = self.settings.reassemble == Some(false);
        let of_streams = Kind::NewData.bit() | Kind::Gap.bit();
        Brief {
            masks: self.masks,
            told: !is_off && (self.collects || self.mask(Hook::PostTcp) & of_streams != 0),
            bytes: !is_off && self.collects,
            retains: self.settings.reassemble == Some(true),
            whole: is_off || self.settings.depth == u64::MAX && self.settings.reach().is_none(),
        }
    }

    /// The actions of an event if nothing but counters hangs on it, whatever it is about.
    #[inline]
    pub fn tally(&self, kind: Kind, hook: Hook) -> Option<&[(Option<Side>, Action)]> {
        let root = &self.roots[hook as usize][kind as usize];
        let node = self.nodes.get(root.start as usize).filter(|_| root.len() == 1)?;
        let actions = self.actions.get(node.actions.start as usize..node.actions.end as usize)?;
        let counts =
            |(side, action): &(Option<Side>, Action)| side.is_none() && matches!(action, Action::Count(_));
        actions.iter().all(counts).then_some(actions)
    }

    /// An event fired: does what hangs on it and on those below it whose filters pass.
    pub fn fire(&self, scene: &Scene<'_>, outlet: &mut impl Outlet) {
        let Event { kind, hook, .. } = *scene.event;
        self.walk(self.roots[hook as usize][kind as usize].clone(), scene, outlet);
    }

    /// The application raised a user-defined event: does what hangs on it, whatever its own filter says.
    pub fn raise(&self, event: EventId, scene: &Scene<'_>, outlet: &mut impl Outlet) {
        for node in self.raised.get(&event).into_iter().flatten() {
            self.resume(*node, scene, outlet);
        }
    }

    /// The application's own filter passed: does what hangs on its node and below.
    pub fn resume(&self, node: u32, scene: &Scene<'_>, outlet: &mut impl Outlet) {
        let at = &self.nodes[node as usize];
        self.perform(at, scene, outlet);
        self.walk(node + 1..at.skip, scene, outlet);
    }

    fn walk(&self, range: Range<u32>, scene: &Scene<'_>, outlet: &mut impl Outlet) {
        let mut place = range.start;
        while place < range.end {
            let node = &self.nodes[place as usize];
            let passes = match &node.filter {
                Filter::Always => true,
                Filter::Expr(expr) => expr.holds(scene),
                Filter::External(filter) => {
                    outlet.ask(*filter, place, scene);
                    false
                }
                Filter::Never => false,
            };
            if passes {
                self.perform(node, scene, outlet);
                place += 1;
            } else {
                place = node.skip;
            }
        }
    }

    fn perform(&self, node: &Node, scene: &Scene<'_>, outlet: &mut impl Outlet) {
        for (side, action) in &self.actions[node.actions.start as usize..node.actions.end as usize] {
            if side.is_none_or(|side| side == scene.event.side) {
                outlet.act(*action, scene);
            }
        }
    }
}

/// The trees while they are put together, side by side: a tree of owned children could be too deep to be dropped.
struct Forest {
    /// First the roots, one for each kind at each hook.
    branches: Vec<Branch>,
}

/// An event of the forest.
struct Branch {
    /// None for a root.
    event: Option<EventId>,
    filter: Filter,
    actions: Vec<(Option<Side>, Action)>,
    children: Vec<usize>,
}

/// What is still to be done with a branch that is emitted: enter it, or close the node that it became.
enum Work {
    Enter(usize),
    Close(u32),
}

impl Forest {
    fn new() -> Forest {
        let roots = 3 * Kind::ALL.len();
        Forest {
            branches: std::iter::repeat_with(|| Branch::new(None, Filter::Always)).take(roots).collect(),
        }
    }

    fn root(hook: usize, kind: usize) -> usize {
        hook * Kind::ALL.len() + kind
    }

    /// The branch of an event below another one.
    fn child(&mut self, parent: usize, event: EventId, filter: Filter) -> usize {
        let children = &self.branches[parent].children;
        if let Some(known) = children.iter().find(|child| self.branches[**child].event == Some(event)) {
            return *known;
        }
        let child = self.branches.len();
        self.branches.push(Branch::new(Some(event), filter));
        self.branches[parent].children.push(child);
        child
    }
}

impl Branch {
    fn new(event: Option<EventId>, filter: Filter) -> Branch {
        Branch { event, filter, actions: Vec::new(), children: Vec::new() }
    }
}
