//! Who wins where two segments hold different bytes for the same place.

/// How overlap between segments is settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overlap {
    /// The bytes that came first stay.
    #[default]
    First,
    /// The bytes that came last win, as long as they were not handed on.
    Last,
}

impl Overlap {
    /// The policy of this name.
    pub fn from_name(name: &str) -> Option<Overlap> {
        match name {
            "first" => Some(Overlap::First),
            "last" => Some(Overlap::Last),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Overlap::First => "first",
            Overlap::Last => "last",
        }
    }

    /// Whether new bytes replace the old ones they overlap.
    pub(super) fn new_wins(self) -> bool {
        matches!(self, Overlap::Last)
    }
}
