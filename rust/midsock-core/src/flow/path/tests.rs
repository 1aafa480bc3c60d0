use super::super::Key;
use super::*;

fn number(paths: &mut Paths, vlan: u16, tunnel: u32) -> u32 {
    paths.number([vlan, 0], |path| path.extend(tunnel.to_be_bytes())).unwrap()
}

#[test]
fn equal_paths_have_one_number() {
    let mut paths = Paths::default();
    let first = number(&mut paths, 5, 1);
    assert_ne!(first, number(&mut paths, 5, 2));
    assert_ne!(first, number(&mut paths, 6, 1));
    assert_eq!(first, number(&mut paths, 5, 1));
    assert_eq!(paths.get(first).unwrap().vlan(), [5, 0]);
    assert!(paths.get(1000).is_none());
}

#[test]
fn paths_that_no_flow_holds_are_forgotten() {
    let mut paths = Paths::default();
    let held = number(&mut paths, 0, 7);
    let path = paths.get(held).cloned();
    for round in 0..100 {
        for tunnel in 0..100 {
            number(&mut paths, 1, round * 100 + tunnel);
        }
        paths.sweep();
    }
    assert!(paths.list.len() <= FEW + 100);
    assert_eq!(paths.get(held), path.as_ref());
    assert_eq!(number(&mut paths, 0, 7), held);
}

#[test]
fn many_held_paths_are_seldom_looked_through() {
    let mut paths = Paths::default();
    let held: Vec<_> = (0..5 * FEW as u32)
        .map(|tunnel| {
            let number = number(&mut paths, 0, tunnel);
            let path = paths.get(number).cloned();
            paths.sweep();
            path
        })
        .collect();
    assert!(paths.kept >= FEW && paths.numbers.len() == held.len());
}

#[test]
fn a_path_makes_another_key_of_a_tuple() {
    let ends = ["192.0.2.1:1", "192.0.2.2:2"].map(|end| end.parse().unwrap());
    let (plain, _) = Key::between(ends[0], ends[1], [3, 4]);
    let (one, two) = (plain.through(0), plain.through(1));
    assert!(plain != one && one != two && two != plain);
    assert_eq!((plain.path(), one.path(), two.path()), (None, Some(0), Some(1)));
    assert_eq!((plain.vlan(), two.vlan()), ([3, 4], [0, 0]));
    assert_eq!((two.low(), two.high()), (ends[0], ends[1]));
    // VLANs are part of the path: what remains of the tuple's own must not count.
    assert_eq!(one, Key::between(ends[0], ends[1], [0, 0]).0.through(0));
}
