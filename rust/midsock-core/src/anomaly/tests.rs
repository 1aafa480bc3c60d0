use std::collections::HashSet;

use super::{Anomalies, Anomaly, AnomalyCounts, Severity};

#[test]
fn each_has_a_number_a_name_and_a_description_of_its_own() {
    assert!(Anomaly::ALL.into_iter().enumerate().all(|(i, anomaly)| anomaly as usize == i));
    let names: HashSet<&str> = Anomaly::ALL.into_iter().map(Anomaly::name).collect();
    assert_eq!(names.len(), Anomaly::ALL.len());
    for anomaly in Anomaly::ALL {
        // The variant's name in snake case; "SYN/ACK" is one word.
        let variant = format!("{anomaly:?}").replace("SynAck", "Synack");
        let mut snake = String::new();
        for letter in variant.chars() {
            if letter.is_ascii_uppercase() && !snake.is_empty() {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
        }
        assert_eq!(anomaly.name(), snake);
        let description = anomaly.description();
        assert!(description.ends_with('.') && description.starts_with(char::is_uppercase), "{description}");
        assert!(!description.contains("  "), "{description}");
    }
    assert!(Severity::ALL.is_sorted());
}

#[test]
fn a_set_gives_what_was_put_in_in_order() {
    let mut set = Anomalies::default();
    assert!(set.is_empty() && set.iter().next().is_none());
    let last = Anomaly::ALL[Anomaly::ALL.len() - 1];
    for anomaly in [last, Anomaly::NoAck, Anomaly::BadChecksum, Anomaly::NoAck] {
        set.add(anomaly);
    }
    assert_eq!(set.iter().collect::<Vec<_>>(), [Anomaly::BadChecksum, Anomaly::NoAck, last]);
    set.remove(Anomaly::NoAck);
    assert!(!set.contains(Anomaly::NoAck) && set.contains(last));
    assert_eq!(Anomaly::ALL.into_iter().collect::<Anomalies>().iter().count(), Anomaly::ALL.len());
}

#[test]
fn counts_hold_an_entry_for_each_that_occurred() {
    let mut counts = AnomalyCounts::default();
    for anomaly in [Anomaly::NoAck, Anomaly::BadFlags, Anomaly::NoAck] {
        counts.note(anomaly);
    }
    assert_eq!(counts.as_slice(), [(Anomaly::BadFlags, 1), (Anomaly::NoAck, 2)]);
    assert_eq!((counts.count(Anomaly::NoAck), counts.count(Anomaly::Truncated)), (2, 0));
}
