use std::fmt::Write as _;
use std::net::IpAddr;

use proptest::prelude::*;

use super::{Scope, ScopeError, Tuple};

/// What tcpdump says of some flows and filters; its first line names the script that asked.
const TRUTH: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/scope_truth.tsv"));

fn scope(filter: &str) -> Scope {
    Scope::parse(filter).unwrap_or_else(|error| panic!("{error}"))
}

fn error(filter: &str) -> ScopeError {
    match Scope::parse(filter) {
        Ok(scope) => panic!("{filter:?} is accepted as {scope:?}"),
        Err(error) => error,
    }
}

fn flow(source: &str, source_port: u16, destination: &str, destination_port: u16) -> Tuple {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    Tuple {
        source: address(source),
        source_port,
        destination: address(destination),
        destination_port,
        vlan: [0, 0],
        protocol: 6,
    }
}

fn tagged(outer: u16, inner: u16) -> Tuple {
    Tuple { vlan: [outer, inner], ..flow("10.0.0.1", 40000, "10.0.0.2", 80) }
}

/// The tuples and the filters of [`TRUTH`], each filter with the tuples it matches.
fn truth() -> (Vec<Tuple>, Vec<(&'static str, Vec<usize>)>) {
    let (mut tuples, mut filters) = (Vec::new(), Vec::new());
    for line in TRUTH.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields[..] {
            ["tuple", source, source_port, destination, destination_port, outer, inner, protocol] => {
                let number = |text: &str| text.parse::<u16>().unwrap();
                tuples.push(Tuple {
                    vlan: [number(outer), number(inner)],
                    protocol: number(protocol) as u8,
                    ..flow(source, number(source_port), destination, number(destination_port))
                });
            }
            ["filter", filter, indices] => {
                let indices = indices.split_whitespace().map(|index| index.parse().unwrap());
                filters.push((filter, indices.collect()));
            }
            _ => assert!(line.starts_with('#'), "{line}"),
        }
    }
    (tuples, filters)
}

fn matched(scope: &Scope, tuples: &[Tuple]) -> Vec<usize> {
    (0..tuples.len()).filter(|&index| scope.matches(&tuples[index])).collect()
}

#[test]
fn matches_what_tcpdump_matches() {
    let (tuples, filters) = truth();
    assert!(tuples.len() > 20 && filters.len() > 130);
    let mut differences = String::new();
    for (filter, expected) in filters {
        let found = matched(&scope(filter), &tuples);
        if found != expected {
            writeln!(differences, "{filter}: {found:?}, tcpdump {expected:?}").unwrap();
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn writes_itself_out_so_that_it_parses_back() {
    let (tuples, filters) = truth();
    for (filter, expected) in filters {
        let first = scope(filter);
        let written = first.to_string();
        let second = scope(&written);
        assert_eq!(first, second, "{filter} was written as {written}");
        assert_eq!(second.to_string(), written);
        assert_eq!(matched(&second, &tuples), expected, "{written}");
    }
}

#[test]
fn an_empty_filter_is_every_flow() {
    for filter in ["", "  \t\r\n "] {
        assert_eq!(scope(filter), Scope::any());
        assert_eq!(scope(filter).to_string(), "");
    }
    assert!(Scope::any().matches(&tagged(0, 0)));
    assert!(Scope::default().matches(&flow("::1", 1, "::2", 2)));
}

#[test]
fn canonical_text() {
    let cases = [
        ("tcp dst port ftp or ftp-data or domain", "tcp dst port 21 or tcp dst port 20 or tcp dst port 53"),
        ("not host 10.0.0.1 and 10.0.0.2", "not host 10.0.0.1 and host 10.0.0.2"),
        ("!(tcp||udp)&&!ip", "not (tcp or udp) and not ip"),
        ("((tcp and (port 80)))", "tcp and port 80"),
        ("(tcp and udp) or (ip and ip6)", "tcp and udp or (ip and ip6)"),
        ("not not (not tcp and ip)", "not not (not tcp and ip)"),
        ("tcp and not (not ip)", "tcp and not not ip"),
        ("tcp and ((udp or ip) and ip6)", "tcp and (udp or ip and ip6)"),
        ("src or dst portrange 9-3", "portrange 3-9"),
        ("dst and src port 0x10", "src and dst port 16"),
        ("port http", "tcp port 80"),
        ("port https", "port 443"),
        ("ip host 1.2.3.4", "host 1.2.3.4"),
        ("net 1.2.3.4", "host 1.2.3.4"),
        ("src net 10/8", "src net 10.0.0.0/8"),
        ("net 10 mask 255", "net 10.0.0.0/8"),
        ("net 10.0.2.0 mask 255.0.255.0", "net 10.0.2.0 mask 255.0.255.0"),
        ("ip6 net 2001:DB8:0::/32", "net 2001:db8::/32"),
        ("net ::1/128", "host ::1"),
        ("proto 6", "tcp"),
        ("ip proto icmp", "icmp"),
        ("ip proto \\tcp or udp", "ip proto 6 or udp"),
        ("ip proto tcp or \\udp", "ip proto 6 or ip proto 17"),
        ("ip6 proto gre", "ip6 proto 47"),
        ("vlan (0x14) and vlan", "vlan 20 and vlan"),
    ];
    for (filter, written) in cases {
        assert_eq!(scope(filter).to_string(), written, "{filter}");
    }
}

#[test]
fn and_and_or_have_the_same_precedence() {
    assert_eq!(scope("tcp or udp and ip6"), scope("(tcp or udp) and ip6"));
    assert_ne!(scope("tcp or udp and ip6"), scope("tcp or (udp and ip6)"));
    let over_ipv4 = flow("10.0.0.1", 1, "10.0.0.2", 2);
    assert!(!scope("tcp or udp and ip6").matches(&over_ipv4));
    assert!(scope("tcp or (udp and ip6)").matches(&over_ipv4));
}

#[test]
fn values_take_over_the_keywords_before_them() {
    let cases = [
        ("host 10.0.0.1 and (10.0.0.2 or 10.0.0.3)", "host 10.0.0.1 and (host 10.0.0.2 or host 10.0.0.3)"),
        // A parenthesis gives back the keywords from before it.
        ("host 10.0.0.1 and (port 80) or 10.0.0.2", "host 10.0.0.1 and port 80 or host 10.0.0.2"),
        ("tcp port (80 or not (443 and 22))", "tcp port 80 or not (tcp port 443 and tcp port 22)"),
        // Beyond tcpdump: keywords after a value in a parenthesis.
        ("host 10.0.0.1 and (10.0.0.2 or port 80)", "host 10.0.0.1 and (host 10.0.0.2 or port 80)"),
    ];
    for (filter, in_full) in cases {
        assert_eq!(scope(filter), scope(in_full), "{filter}");
    }
    // A primitive without a value leaves nothing to take over.
    for filter in ["port 80 or tcp or 90", "port 80 or (tcp and 90)", "(port 80) or 90", "vlan 10 or 20"] {
        assert!(error(filter).message.contains("stands alone"), "{filter}");
    }
}

#[test]
fn vlan_tags_hide_nothing() {
    for flow in [tagged(0, 0), tagged(10, 0), tagged(10, 20)] {
        for filter in ["tcp", "ip", "port 80", "host 10.0.0.1", "tcp port 80 and net 10"] {
            assert!(scope(filter).matches(&flow), "{filter} {flow:?}");
        }
    }
    assert!(scope("port 80 and vlan 10").matches(&tagged(10, 20)));
}

#[test]
fn vlan_looks_past_the_tags_required_before_it() {
    type Tags = &'static [(u16, u16)];
    let cases: [(&str, Tags, Tags); 10] = [
        ("vlan 10 and vlan 20", &[(10, 20)], &[(10, 0), (20, 10), (20, 20)]),
        ("vlan 10 and tcp and vlan 20", &[(10, 20)], &[(10, 10)]),
        ("vlan 10 or vlan 20", &[(10, 0), (20, 0), (20, 5)], &[(0, 0), (5, 20)]),
        ("vlan 10 and (vlan 20 or vlan 30)", &[(10, 20), (10, 30)], &[(20, 30), (10, 0)]),
        ("(vlan 10 or vlan 20) and vlan 30", &[(10, 30), (20, 30)], &[(30, 0)]),
        // The alternative without a tag has required none.
        ("(vlan 10 or udp) and vlan 10", &[(10, 0)], &[(5, 10)]),
        ("vlan 10 and vlan 20 or vlan 30", &[(10, 20), (30, 0)], &[(10, 30)]),
        ("not vlan 10 and vlan 20", &[(20, 0)], &[(5, 20), (10, 20)]),
        ("not vlan 10 and not vlan 20", &[(0, 0), (5, 20)], &[(10, 0), (20, 0)]),
        ("not vlan and tcp", &[(0, 0)], &[(10, 0)]),
    ];
    for (filter, inside, outside) in cases {
        let scope = scope(filter);
        for &(outer, inner) in inside {
            assert!(scope.matches(&tagged(outer, inner)), "{filter}: {outer} {inner}");
        }
        for &(outer, inner) in outside {
            assert!(!scope.matches(&tagged(outer, inner)), "{filter}: {outer} {inner}");
        }
    }
}

#[test]
fn an_error_shows_the_filter_and_points_at_the_word() {
    let error = error("tcp prot 80");
    assert_eq!(error.position, 4);
    let shown = "unknown word \"prot\" in the filter (did you mean \"port\"?)\n  tcp prot 80\n      ^^^^";
    assert_eq!(error.to_string(), shown);
}

/// Checks the words that each filter is wrong at, and a part of what is said about them.
fn check_errors(cases: &[(&str, &str, &str)]) {
    for &(filter, word, part) in cases {
        let error = error(filter);
        assert!(error.message.contains(part), "{filter}:\n{error}");
        let meant = &filter[error.position..error.position + error.length];
        assert_eq!(meant, word, "{filter}:\n{error}");
    }
}

#[test]
fn errors_say_what_to_write() {
    check_errors(&[
        // Words
        ("TCP port 80", "TCP", "did you mean \"tcp\"?"),
        ("tcp adn udp", "adn", "did you mean \"and\"?"),
        ("porttrange 1-2", "porttrange", "did you mean \"portrange\"?"),
        ("xyzzy", "xyzzy", "unknown word \"xyzzy\" in the filter"),
        ("host 10.0.0.1 or prot 80", "prot", "did you mean \"port\"?"),
        ("tcp port 80 or htps", "htps", "did you mean \"https\"?"),
        ("tcp $ udp", "$", "expected \"and\" or \"or\", not \"$\""),
        ("tcp é", "é", "expected \"and\" or \"or\""),
        // Structure
        ("tcp and", "", "the filter ends where a condition such as \"port 80\" is expected"),
        ("and tcp", "and", "expected a condition"),
        ("()", ")", "expected a condition"),
        ("tcp and (udp", "(", "never closed"),
        ("tcp) and udp", ")", "closes nothing"),
        ("port (80 or 443", "(", "never closed"),
        ("port (80 tcp)", "tcp", "expected \")\""),
        ("tcp udp", "udp", "expected \"and\" or \"or\", not \"udp\""),
        ("tcp!udp", "!", "expected \"and\" or \"or\""),
        ("tcp 80", "80", "did you mean \"tcp port 80\"?"),
        ("udp domain", "domain", "did you mean \"udp port domain\"?"),
        ("80", "80", "did you mean \"port 80\"?"),
        ("10.0.0.1", "10.0.0.1", "did you mean \"host 10.0.0.1\"?"),
        ("port 80,443", ",", "join the values with \"or\""),
        // Keywords that do not go together
        ("tcp host 1.2.3.4", "host", "\"host\" does not go with \"tcp\": write \"tcp and host …\""),
        ("ip src port 80", "port", "write \"ip and src port …\""),
        ("tcp src 80", "src", "write \"tcp src port\""),
        ("icmp6 port 80", "port", "does not go with \"icmp6\""),
        ("tcp proto 6", "proto", "does not go with \"tcp\""),
        ("src tcp port 80", "tcp", "expected a protocol to stand before \"src\" and \"dst\""),
        ("src proto 6", "proto", "has no direction"),
    ]);
}

#[test]
fn errors_say_what_is_wrong_with_a_value() {
    check_errors(&[
        // Addresses and networks
        ("host", "", "the filter ends where an address is expected"),
        ("host port 80", "port", "expected an address, not \"port\""),
        ("host example.com", "example.com", "give the address"),
        ("host localhost", "localhost", "give the address"),
        ("src 80", "80", "did you mean \"port 80\"?"),
        ("host 10.1", "10.1", "write \"net 10.1\""),
        ("host 1.2.3.4.5", "1.2.3.4.5", "no IPv4 or IPv6 address"),
        ("host 1.2.3.256", "1.2.3.256", "no IPv4 or IPv6 address"),
        ("host 1..2.3", "1..2.3", "no IPv4 or IPv6 address"),
        ("host 1:2", "1:2", "no IPv6 address"),
        ("host 10.0.0.0/8", "10.0.0.0", "write \"net 10.0.0.0…\""),
        (
            "net 10.0.0.1/8",
            "10.0.0.1/8",
            "non-network bits set in \"10.0.0.1/8\" (did you mean \"10.0.0.0/8\"?)",
        ),
        (
            "net 10.1.2.3  mask 255.0.255.0",
            "10.1.2.3  mask 255.0.255.0",
            "did you mean \"10.0.2.0 mask 255.0.255.0\"?",
        ),
        ("net 2001:db8::1/32", "2001:db8::1/32", "did you mean \"2001:db8::/32\"?"),
        ("net 10/33", "33", "prefix length 33 is greater than 32"),
        ("net ::/129", "129", "prefix length 129 is greater than 128"),
        ("net 10/", "", "a prefix length is expected"),
        ("net ::1 mask ::", "mask", "write a prefix length"),
        ("net 10 mask 256", "256", "no IPv4 netmask"),
        ("net 300", "300", "no IPv4 or IPv6 address"),
        ("net ucb-ether", "ucb-ether", "looks up no names"),
        ("mask 255.0.0.0", "mask", "behind a network's address"),
        ("ip6 host 1.2.3.4", "1.2.3.4", "is no address of ip6"),
        ("ip net 2001:db8::/32", "2001:db8::/32", "is no address of ip"),
        // Ports
        ("port 70000", "70000", "port 70000 is greater than 65535"),
        ("port 99999999999999999999", "99999999999999999999", "is greater than 65535"),
        ("port 08", "08", "octal"),
        ("port 0x", "0x", "not a number"),
        ("port 12ab", "12ab", "not a number"),
        ("port -1", "-1", "unknown service"),
        ("port htp", "htp", "did you mean \"http\"?"),
        ("port 1-1024", "1-1024", "write \"portrange 1-1024\""),
        ("udp port http", "http", "service \"http\" runs over tcp"),
        ("portrange 1-70000", "1-70000", "port 70000 is greater than 65535"),
        ("portrange 1-", "1-", "no range of ports"),
        ("portrange 1-2-3", "1-2-3", "no range of ports"),
        ("port 80/tcp", "/", "a prefix length belongs behind"),
        // Protocols
        ("proto 256", "256", "protocol 256 is greater than 255"),
        ("proto tpc", "tpc", "did you mean \"tcp\"?"),
        ("ip proto arp", "arp", "unknown IP protocol \"arp\""),
        // VLANs
        ("vlan 4096", "4096", "VLAN identifier 4096 is greater than 4095"),
        ("vlan 0", "0", "write \"not vlan\""),
        ("vlan (tcp)", "tcp", "expected a VLAN identifier"),
        ("vlan and vlan and vlan 1", "vlan", "a flow has no more"),
    ]);
    // Of equal words, the one that is wrong.
    assert_eq!(error("vlan and vlan and vlan 1").position, 18);
}

#[test]
fn errors_say_where_conditions_on_packets_belong() {
    check_errors(&[
        ("tcp[13] & 2 != 0", "tcp[13]", "use the filter of a user-defined event"),
        ("tcp and ip[2:2] > 576", "ip[2:2]", "use the filter of a user-defined event"),
        ("tcp[", "tcp[", "use the filter of a user-defined event"),
        ("port 80 & 2", "&", "use the filter of a user-defined event"),
        ("ether host 00:11:22:33:44:55", "ether", "use the filter of a user-defined event"),
        ("tcp and len > 100", "len", "use the filter of a user-defined event"),
        ("less 100", "less", "use the filter of a user-defined event"),
        ("greater 100", "greater", "use the filter of a user-defined event"),
        ("ip broadcast", "broadcast", "use the filter of a user-defined event"),
        ("not arp", "arp", "is not IP"),
        ("inbound", "inbound", "is not supported"),
        ("gateway 10.0.0.1", "gateway", "is not supported"),
        ("mpls 5 and tcp", "mpls", "is not supported"),
        ("ip6 protochain 6", "protochain", "is not supported"),
    ]);
}

#[test]
fn a_long_or_broken_filter_is_shown_around_the_word() {
    let long = format!("{}prot 80{}", "port 80 or ".repeat(100), " or tcp".repeat(100));
    let shown = error(&long).to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(
        lines[1].chars().count() < 100 && lines[1].starts_with("  …") && lines[1].ends_with('…'),
        "{shown}"
    );
    let caret = lines[2].find('^').unwrap();
    let pointed: String = lines[1].chars().skip(caret).take(lines[2].len() - caret).collect();
    assert_eq!(pointed, "prot");

    assert_eq!(
        error("tcp and\n\tprot 80").to_string(),
        "unknown word \"prot\" in the filter (did you mean \"port\"?)\n  tcp and  prot 80\n           ^^^^"
    );
}

#[test]
fn hostile_filters_are_refused_before_they_cost_stack_or_memory() {
    for (opening, closing) in [("(", ")"), ("not ", ""), ("!", ""), ("port (", ")"), ("(not ", ")")] {
        let filter = format!("{}tcp{}", opening.repeat(10_000), closing.repeat(10_000));
        let error = error(&filter);
        assert!(error.to_string().len() < 400);
        assert!(opening == "port (" || error.message.contains("nest more than 64 levels"), "{error}");
    }
    assert!(error(&format!("port {}", "(".repeat(10_000))).message.contains("nest more than 64"));
    assert!(error(&"(".repeat(10_000)).message.contains("nest more than 64"));
    assert!(error(&")".repeat(10_000)).message.contains("expected a condition"));
    assert!(error(&format!("port 1{}", " or 1".repeat(10_000))).message.contains("at most 8192"));
    assert!(error(&" ".repeat(2 << 20)).message.contains("bytes"));
    assert!(error(&"x".repeat(1 << 20)).message.contains("unknown word"));
}

#[test]
fn the_largest_filters_are_compiled_written_and_matched() {
    let nested = format!("{}tcp{}", "(not ".repeat(32), ")".repeat(32));
    assert!(scope(&nested).matches(&tagged(0, 0)));
    assert_eq!(scope(&scope(&nested).to_string()), scope(&nested));

    let mut chain = String::from("src and dst net 2001:db8:ffff:ffff:ffff:ffff:ffff:0/127");
    for index in 1..4096 {
        chain += if index % 2 == 0 { " and " } else { " or " };
        chain += "2001:db8:ffff:ffff:ffff:ffff:ffff:0/127";
    }
    let chain = scope(&chain);
    assert!(!chain.matches(&tagged(0, 0)));
    assert_eq!(scope(&chain.to_string()), chain);
}

/// A word of the language, or something near it.
fn word() -> impl Strategy<Value = String> {
    let words = "tcp udp ip ip6 icmp6 sctp vlan host net port portrange proto mask src dst and or not ( ) ! && || / \
        80 http ftp-data 1-1024 10 10.1 10.0.0.1 0.0.0.0 ::1 2001:db8:: 8 32 128 255.255.0.0 \\tcp tcp 0x10 , [ ether";
    let words: Vec<&str> = words.split_whitespace().collect();
    prop_oneof![9 => prop::sample::select(words).prop_map(str::to_owned), 1 => "\\PC{0,6}"]
}

/// A filter that is in the language.
fn filter() -> impl Strategy<Value = String> {
    let primitive = prop::sample::select(vec![
        "tcp",
        "ip",
        "udp",
        "vlan",
        "vlan 10",
        "port 80",
        "tcp port 443",
        "src port http",
        "portrange 1-1024",
        "host 10.0.0.1",
        "src host ::1",
        "net 10",
        "dst net 10.1/16",
        "net 2001:db8::/32",
        "proto 47",
        "ip proto 6",
        "net 10.0.0.0 mask 255.0.255.0",
        "port (80 or not 443)",
        "src and dst port 1",
    ]);
    primitive.prop_map(str::to_owned).prop_recursive(5, 40, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|operand| format!("not {operand}")),
            inner.clone().prop_map(|operand| format!("({operand})")),
            (inner.clone(), prop::bool::ANY, inner)
                .prop_map(|(left, and, right)| format!("{left} {} {right}", if and { "and" } else { "or" })),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_a_filter_or_an_error(text in "\\PC*") {
        if let Err(error) = Scope::parse(&text) {
            prop_assert!(text.is_char_boundary(error.position));
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn any_words_are_a_filter_or_an_error(words in prop::collection::vec(word(), 0..12)) {
        let text = words.join(" ");
        match Scope::parse(&text) {
            Ok(scope) => prop_assert_eq!(Scope::parse(&scope.to_string()), Ok(scope)),
            Err(error) => prop_assert!(text.is_char_boundary(error.position) && !error.to_string().is_empty()),
        }
    }

    #[test]
    fn what_is_written_parses_back(text in filter()) {
        match Scope::parse(&text) {
            Ok(scope) => prop_assert_eq!(Scope::parse(&scope.to_string()), Ok(scope)),
            Err(error) => prop_assert!(error.message.contains("a flow has no more"), "{}", error),
        }
    }

    /// The flat form and its jumps against truth values worked out term by term.
    #[test]
    fn chains_group_from_the_left(terms in prop::collection::vec(any::<(bool, bool, bool)>(), 1..20)) {
        let mut text = String::new();
        let mut expected = true;
        for (index, &(and, negated, holds)) in terms.iter().enumerate() {
            let truth = holds != negated;
            if index == 0 {
                expected = truth;
            } else if and {
                text += " and ";
                expected &= truth;
            } else {
                text += " or ";
                expected |= truth;
            }
            text += if negated { "not " } else { "" };
            text += if holds { "tcp" } else { "udp" };
        }
        prop_assert_eq!(scope(&text).matches(&tagged(0, 0)), expected, "{}", text);
    }
}
