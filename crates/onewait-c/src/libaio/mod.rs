//! libaio: the kernel's native AIO, as programs know it, on the engine.
//!
//! Calls come by libaio's functions (`exports.rs`) or by `syscall` (`calls.rs`, which both use). A context (`context.rs`) is
//! looked up without a lock (`registry.rs`), and what is none of ours goes to the kernel (`kernel.rs`). `submit.rs` checks
//! control blocks (`check.rs`) and gives each the way that suits its file: done in the call itself, to the kernel's own
//! context behind ours for O_DIRECT (`direct.rs`), or into the engine (`request.rs`). Completions wait in a queue without
//! locks (`queue.rs`) until they are taken (`reap.rs`).

mod abi;
mod bell;
mod calls;
mod cancel;
mod check;
mod context;
mod direct;
mod exports;
mod imports;
mod kernel;
mod lifetime;
mod limits;
mod nowait;
mod passing;
mod queue;
mod queue_run;
mod reap;
mod registry;
mod request;
mod submit;
mod until;
mod vectors;
mod watch;

pub(crate) use bell::Bells;
pub(crate) use calls::system_call;
pub(crate) use kernel::SYS_IO_PGETEVENTS;
pub(crate) use registry::Registry;
pub(crate) use request::LibaioRequest;
