use proptest::prelude::*;

use super::Shape;

const SHAPE: Shape = Shape { shift: 11, count: 100 };

#[test]
fn an_address_is_that_of_a_frame_or_refused() {
    assert_eq!((SHAPE.frame_size(), SHAPE.length(), SHAPE.address(99)), (2048, 204_800, 202_752));
    assert_eq!(SHAPE.frame(0), Some(0));
    assert_eq!(SHAPE.frame(204_799), Some(99));
    assert_eq!(SHAPE.frame_of(2048 + 256, 1792), Some(1));
    for (address, length) in [(204_800, 1), (2048 + 256, 1793), (u64::MAX, 1), (0, u32::MAX), (1 << 63, 0)] {
        assert_eq!(SHAPE.frame_of(address, length), None, "{address} {length}");
    }
}

proptest! {
    #[test]
    fn what_lies_in_a_frame_lies_in_the_umem(address in 0..300_000u64, length in 0..5000u32) {
        let end = address + u64::from(length);
        match SHAPE.frame_of(address, length) {
            Some(frame) => {
                let start = SHAPE.address(frame);
                prop_assert!(start <= address && end <= start + 2048 && end <= SHAPE.length() as u64);
            }
            None => prop_assert!(address >= 204_800 || end > (address / 2048 + 1) * 2048),
        }
    }
}
