//! Our side.
