//! The C faces of onewait: `libonewait.so`.
