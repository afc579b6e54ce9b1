//! epoll, of programs that make their own: `onewait run --epoll`. Off, unless the environment asks for it (`switch.rs`).
//!
//! What a program gets from `epoll_create` is an epoll of the kernel's, as it is in a reactor's inside; but here the number
//! is the program's own. So `dup`, `close`, `fork`, `exec`, `poll` and another epoll see what they always saw, and a number
//! that reaches the program by other ways is as good as one that came by us: there is no state to miss. The calls
//! (`calls.rs`) go on to libc (`original.rs`), with the program's own pointers, and so with the kernel's own errors.
//!
//! What the reactor adds is its way to wait: look for a while before sleeping, where that was of use lately
//! (`looking.rs`, [`onewait::reactor::SharedSpin`]), and its counters (`served.rs`). There is no doorbell in these epolls and no event poll
//! behind them, since nothing of this process is watched there.

mod calls;
mod looking;
mod numbers;
mod original;
mod served;
mod switch;
