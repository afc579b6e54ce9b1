//! Add, modify, delete: what is refused, and with what.

use crate::bits::{ERR, ET, EXCLUSIVE, HUP, IN, ONESHOT, OUT, PRI, RDHUP, WAKEUP};
use crate::common::Scratch;
use crate::fds::{close, counter, dup, dup2, far_dup, pipe, stream, tcp, write};
use crate::world::{OPS, World, both, event};
use libc::{EBADF, EEXIST, EINVAL, ENOENT, EPERM};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

both!(
    rule_05_a_bad_descriptor_is_refused_before_anything_else,
    rule_05_a_file_without_a_poll_before_its_interest,
    rule_05_exclusive_is_checked_before_what_is_there,
    rule_07_files_without_a_poll,
    rule_07_a_path_is_no_descriptor_to_watch,
    rule_10_a_second_add_exists_already,
    rule_10_modify_and_delete_want_an_item,
    rule_10_another_list_is_another,
    rule_10_the_key_is_file_and_number,
    rule_16_exclusive_goes_with_few_bits,
    rule_17_exclusive_is_for_ever,
);

fn rule_05_a_bad_descriptor_is_refused_before_anything_else<W: World>() {
    let w = W::new();
    let closed = close(far_dup(&counter(0)));
    for op in OPS {
        for bits in [IN, IN | EXCLUSIVE | ONESHOT] {
            assert_eq!(crate::world::List::control(w.list(), op, &closed, bits, 0), Err(EBADF), "{op:?}");
        }
    }
}

fn rule_05_a_file_without_a_poll_before_its_interest<W: World>() {
    let (w, null) = (W::strict(), File::open("/dev/null").unwrap());
    assert_eq!(w.add(&null, IN | EXCLUSIVE | ONESHOT, 0), Err(EPERM), "not EINVAL");
    assert_eq!(w.modify(&null, IN | EXCLUSIVE, 0), Err(EPERM), "not EINVAL");
}

fn rule_05_exclusive_is_checked_before_what_is_there<W: World>() {
    let (w, (reader, _writer)) = (W::new(), pipe());
    assert_eq!(w.modify(&reader, IN | EXCLUSIVE, 0), Err(EINVAL), "not ENOENT");
    w.add(&reader, IN, 0).unwrap();
    assert_eq!(w.add(&reader, IN | EXCLUSIVE | ONESHOT, 0), Err(EINVAL), "not EEXIST");
    assert_eq!(w.add(&reader, IN | EXCLUSIVE, 0), Err(EEXIST));
}

fn rule_07_files_without_a_poll<W: World>() {
    let (w, scratch) = (W::strict(), Scratch::new());
    std::fs::write(scratch.path(), "a file").unwrap();
    for path in [scratch.path(), "/".as_ref(), "/dev/null".as_ref(), "/dev/zero".as_ref()] {
        let file = File::open(path).unwrap();
        for op in OPS {
            let result = crate::world::List::control(w.list(), op, &file, IN, 0);
            assert_eq!(result, Err(EPERM), "{op:?} of {}", path.display());
        }
    }
}

fn rule_07_a_path_is_no_descriptor_to_watch<W: World>() {
    let path = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open("/").unwrap();
    for w in [W::new(), W::strict()] {
        for op in OPS {
            assert_eq!(crate::world::List::control(w.list(), op, &path, IN, 0), Err(EBADF), "{op:?}");
        }
    }
}

fn rule_10_a_second_add_exists_already<W: World>() {
    let mut w = W::new();
    let (near, far) = stream();
    write(&far, 1).unwrap();
    w.add(&near, IN, 1).unwrap();
    assert_eq!(w.add(&near, OUT, 2), Err(EEXIST));
    assert_eq!(w.now(8), [event(IN, 1)], "the refused call changed nothing");
    w.delete(&near).unwrap();
    w.add(&near, OUT, 2).unwrap();
    assert_eq!(w.now(8), [event(OUT, 2)]);
}

fn rule_10_modify_and_delete_want_an_item<W: World>() {
    let mut w = W::new();
    let ((near, _far), one) = (tcp(), counter(1));
    for _ in 0..2 {
        assert_eq!(w.modify(&near, OUT, 0), Err(ENOENT));
        assert_eq!(w.delete(&near), Err(ENOENT));
        assert_eq!(w.modify(&one, OUT, 0), Err(ENOENT));
        w.add(&near, OUT, 0).unwrap();
        w.delete(&near).unwrap();
    }
    assert_eq!(w.now(8), []);
}

fn rule_10_another_list_is_another<W: World>() {
    let (mut first, mut second, one) = (W::new(), W::new(), counter(1));
    first.add(&one, IN, 1).unwrap();
    second.add(&one, OUT, 2).unwrap();
    first.delete(&one).unwrap();
    assert_eq!(first.now(8), []);
    assert_eq!(second.now(8), [event(OUT, 2)]);
}

fn rule_10_the_key_is_file_and_number<W: World>() {
    let mut w = W::new();
    let (one, other) = (counter(1), counter(1));
    let mut number = far_dup(&one);
    w.add(&number, IN, 1).unwrap();
    let kept = dup(&one);
    assert_eq!(w.modify(&kept, IN, 0), Err(ENOENT), "another number of the same file");
    dup2(&other, &mut number);
    assert_eq!(w.modify(&number, IN, 0), Err(ENOENT), "another file of the same number");
    w.add(&number, IN, 2).unwrap();
    assert_eq!(w.now(8), [event(IN, 1), event(IN, 2)]);
}

fn rule_16_exclusive_goes_with_few_bits<W: World>() {
    let w = W::new();
    for place in 0..32 {
        let bit = 1_u32 << place;
        let (reader, _writer) = pipe();
        let legal = bit & (IN | OUT | ERR | HUP | WAKEUP | ET | EXCLUSIVE) != 0;
        let expected = if legal { Ok(()) } else { Err(EINVAL) };
        assert_eq!(w.add(&reader, EXCLUSIVE | bit, 0), expected, "EXCLUSIVE with bit {place}");
        assert_eq!(w.modify(&reader, EXCLUSIVE | bit, 0), Err(EINVAL), "modify with bit {place}");
    }
}

fn rule_17_exclusive_is_for_ever<W: World>() {
    let (mut w, shared, own) = (W::new(), counter(1), counter(1));
    w.add(&shared, IN | EXCLUSIVE, 1).unwrap();
    w.add(&own, IN, 2).unwrap();
    assert_eq!(w.modify(&own, IN | EXCLUSIVE, 3), Err(EINVAL), "it cannot become so");
    for bits in [IN, OUT, 0, PRI | RDHUP, IN | EXCLUSIVE] {
        assert_eq!(w.modify(&shared, bits, 4), Err(EINVAL), "nor be anything else: {bits:#x}");
    }
    assert_eq!(w.now(8), [event(IN, 1), event(IN, 2)], "refused calls change nothing");
    w.delete(&shared).unwrap();
    assert_eq!(w.now(8), [event(IN, 2)]);
}
