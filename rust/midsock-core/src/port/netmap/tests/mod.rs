//! What of a netmap port needs no kernel: names, the arithmetic of rings, and regions made by hand. The rest is tested
//! through Python, with the emulated device and with the module.

mod cursor;
mod layout;
mod name;
mod rings;
