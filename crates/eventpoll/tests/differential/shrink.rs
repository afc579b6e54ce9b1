//! Makes a sequence that fails as short as it can be.

/// Leaves out what is not needed: first large parts, then small ones, until no single step can go.
///
/// `fails` must be true for `steps`.
pub(super) fn shortest<T: Clone>(mut steps: Vec<T>, fails: impl Fn(&[T]) -> bool) -> Vec<T> {
    let mut part = steps.len().div_ceil(2).max(1);
    loop {
        let mut shrunk = false;
        let mut start = 0;
        while start < steps.len() {
            let end = (start + part).min(steps.len());
            let rest = [&steps[..start], &steps[end..]].concat();
            if fails(&rest) {
                steps = rest;
                shrunk = true;
            } else {
                start = end;
            }
        }
        if part == 1 && !shrunk {
            return steps;
        }
        part = (part / 2).max(1);
    }
}

#[test]
fn a_failing_sequence_is_shrunk_to_what_matters() {
    let fails = |steps: &[u32]| {
        let of = |number| steps.iter().position(|step| *step == number);
        matches!((of(17), of(3), of(90)), (Some(a), Some(b), Some(c)) if a < b && b < c)
    };
    let mut steps: Vec<u32> = (0..100).collect();
    steps.swap(3, 17);
    assert_eq!(shortest(steps, fails), [17, 3, 90]);
}
