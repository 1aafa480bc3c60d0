use super::{RightsError, drop, find_left};
use crate::port::sys::rights::User;

// Giving rights up for good would take them from all other tests: tests of the Python package do it in processes of
// their own.

#[test]
fn an_unknown_user_is_an_error() {
    for name in ["no-such-user", "", "nobody\0"] {
        assert!(matches!(drop(name), Err(RightsError::UnknownUser(unknown)) if unknown == name));
    }
}

#[test]
fn root_is_no_user_without_rights() {
    let error = drop("root").unwrap_err().to_string();
    assert_eq!(error, "\"root\" has the rights of root: name a user who has not");
}

const STATUS: &str = "Name:\tpython\nUid:\t65534\t65534\t65534\t65534\nGid:\t65534\t65534\t65534\t65534\nGroups:\t \n\
    CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n\
    CapAmb:\t0000000000000000\nNoNewPrivs:\t1\n";
const NOBODY: User = User { uid: 65534, gid: 65534 };

#[test]
fn nothing_left_is_seen() {
    assert_eq!(find_left(STATUS, NOBODY, true), None);
}

#[test]
fn whatever_is_left_is_seen() {
    let lines: Vec<&str> = STATUS.lines().skip(1).collect();
    for line in &lines {
        let (name, value) = line.split_once(':').unwrap();
        let is_others = matches!(name, "CapInh" | "CapBnd");
        let worse = match value.trim() {
            "" => "27".to_owned(),
            "1" => "0".to_owned(),
            value => value.replacen(value.chars().next().unwrap(), "1", 1),
        };
        for status in
            [STATUS.replace(line, &format!("{name}:\t{worse}")), STATUS.replace(&format!("{line}\n"), "")]
        {
            assert!(
                find_left(&status, NOBODY, true).unwrap().starts_with(&format!("{name} is ")),
                "{status}"
            );
            assert_eq!(find_left(&status, NOBODY, false).is_none(), is_others, "{status}");
        }
    }
}
