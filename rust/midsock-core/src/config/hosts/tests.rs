use super::*;

fn hosts(rules: &[(&str, Overlap)]) -> Hosts {
    let mut hosts = Hosts::default();
    for (network, policy) in rules {
        hosts.add(network, *policy).unwrap();
    }
    hosts
}

#[test]
fn the_longest_prefix_decides_in_any_order() {
    let mut rules = [
        ("10.0.0.0/8", Overlap::Windows),
        ("10.1.0.0/16", Overlap::Linux),
        ("10.1.2.3", Overlap::Irix),
        ("2001:db8::/32", Overlap::Solaris),
        ("2001:db8:0:1::/64", Overlap::Macos),
        ("::/0", Overlap::Vista),
        ("192.0.2.0/31", Overlap::Bsd),
    ];
    for _ in 0..rules.len() {
        rules.rotate_left(1);
        let hosts = hosts(&rules);
        for (address, expected) in [
            ("10.255.255.255", Some(Overlap::Windows)),
            ("10.1.2.4", Some(Overlap::Linux)),
            ("10.1.2.3", Some(Overlap::Irix)),
            ("11.0.0.0", None),
            ("192.0.2.1", Some(Overlap::Bsd)),
            ("192.0.2.2", None),
            ("::ffff:10.1.2.3", Some(Overlap::Irix)),
            ("2001:db8::1", Some(Overlap::Solaris)),
            ("2001:db8:0:1:ffff::", Some(Overlap::Macos)),
            ("a00::", Some(Overlap::Vista)),
        ] {
            assert_eq!(hosts.policy(address.parse().unwrap()), expected, "{address}");
        }
    }
}

#[test]
fn a_rule_for_everything_and_a_second_one_for_the_same() {
    let hosts = hosts(&[("0.0.0.0/0", Overlap::Last), ("0.0.0.0/0", Overlap::First)]);
    assert_eq!(hosts.policy("255.255.255.255".parse().unwrap()), Some(Overlap::First));
    assert_eq!(hosts.policy("::1".parse().unwrap()), None);
    assert_eq!(Hosts::default().policy("::1".parse().unwrap()), None);
}

#[test]
fn what_is_no_network_is_told_as_such() {
    let mut hosts = Hosts::default();
    let mut error = |network: &str| hosts.add(network, Overlap::First).unwrap_err().to_string();
    for bad in
        ["", "/8", "10.0.0.0/", "10.0.0/8", "10.0.0.0/+8", "10.0.0.0/8/8", "host", "10.0.0.0/ 8", "::/-1"]
    {
        assert!(error(bad).contains("is no network"), "{bad}");
    }
    assert_eq!(error("10.0.0.0/33"), "the prefix length of \"10.0.0.0/33\" is at most 32");
    assert_eq!(error("::/129"), "the prefix length of \"::/129\" is at most 128");
    assert_eq!(error("::/4294967295"), "the prefix length of \"::/4294967295\" is at most 128");
    assert_eq!(error("10.1.2.3/8"), "\"10.1.2.3/8\" has bits behind its prefix: did you mean 10.0.0.0/8?");
    assert_eq!(
        error("2001:db8::1/32"),
        "\"2001:db8::1/32\" has bits behind its prefix: did you mean 2001:db8::/32?"
    );
    assert!(hosts.is_empty());
}
