//! What the tests write into pipes: more than one can hold.

/// Nobody looks at the bytes; the pipe's own tests do.
pub(crate) static BYTES: [u8; 128 << 10] = [0; 128 << 10];
