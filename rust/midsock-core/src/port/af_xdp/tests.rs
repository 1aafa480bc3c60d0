use super::open;
use super::settings::{Attach, Mode, Settings};
use crate::port::options::Options;

fn settings(name: &str) -> Settings {
    Settings::take(Options::split(name).unwrap().1).unwrap()
}

#[test]
fn options_say_how_a_port_is_opened() {
    let plain = settings("af_xdp:eth0");
    let expected = Settings {
        queue: None,
        mode: Mode::Auto,
        attach: Attach::Auto,
        frame: None,
        frames: 4096,
        promiscuous: true,
        keep_offloads: false,
    };
    assert_eq!(plain, expected);
    let all =
        "af_xdp:eth0?queue=3&mode=zerocopy&attach=native&frame=2048&frames=65536&promisc=0&offloads=keep";
    let expected = Settings {
        queue: Some(3),
        mode: Mode::ZeroCopy,
        attach: Attach::Native,
        frame: Some(2048),
        frames: 65536,
        promiscuous: false,
        keep_offloads: true,
    };
    assert_eq!(settings(all), expected);
    assert_eq!(settings("af_xdp:eth0?mode=copy&attach=generic").attach, Attach::Generic);
}

#[test]
fn what_is_wrong_with_a_name_is_told() {
    for (name, reason) in [
        ("af_xdp:lo?mode=fast", "mode=fast: give one of auto, copy, zerocopy"),
        ("af_xdp:lo?frames=5", "frames=5: give a whole number from 1024 to 1048576"),
        ("af_xdp:lo?queue=-1", "queue=-1: give a whole number from 0 to 65535"),
        (
            "af_xdp:lo?ring=1M",
            "this port has no option ring; its options are queue, mode, attach, frame, frames, promisc, offloads",
        ),
        ("af_xdp:lo?queue=900", "there is no queue 900: lo has 0 to 0"),
    ] {
        assert_eq!(open(name).unwrap_err().to_string(), format!("{name}: {reason}"));
    }
    let error = open("af_xdp:no-such").unwrap_err().to_string();
    assert!(error.starts_with("af_xdp:no-such: no interface no-such; there are: lo"), "{error}");
}
