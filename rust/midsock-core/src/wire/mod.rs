//! From bytes to layers: one pass over a frame that finds where each layer starts.
