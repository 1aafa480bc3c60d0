//! Which flows a monitoring socket watches: filters in tcpdump's syntax.
