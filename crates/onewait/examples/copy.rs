//! Copies a file with 32 reads in flight: `cargo run --release -p onewait --example copy -- FROM TO`

use indicatif::{ProgressBar, ProgressStyle};
use onewait::{Aio, Buffer, Completion, Descriptor, Request};
use std::fs::{File, OpenOptions};
use std::io::{self, Error, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

const IN_FLIGHT: u64 = 32;
/// Bytes of a buffer.
const BLOCK: u64 = 128 * 1024;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [from, to] = &arguments[..] else {
        eprintln!("usage: copy FROM TO");
        return ExitCode::from(2);
    };
    match open(from.as_ref(), to.as_ref()).and_then(|(from, to)| copy(from, to)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("copy: {} to {}: {error}", from.display(), to.display());
            ExitCode::FAILURE
        }
    }
}

/// Opens both, and empties the target when it is known to be another file than the source.
fn open(from: &Path, to: &Path) -> io::Result<(File, File)> {
    let from = File::open(from)?;
    let to = OpenOptions::new().write(true).create(true).truncate(false).open(to)?;
    let (source, target) = (from.metadata()?, to.metadata()?);
    if (source.dev(), source.ino()) == (target.dev(), target.ino()) {
        return Err(Error::other("they are the same file"));
    }
    if target.is_file() {
        to.set_len(0)?;
    }
    Ok((from, to))
}

/// What one of the buffers is used for: the bytes from `position` to `end` are still to be copied. The index of a part is
/// the token of its requests.
struct Part {
    position: u64,
    end: u64,
    /// How much of the buffer, whose first byte is for `position`, was written. `None` while it is being read.
    written: Option<usize>,
}

fn copy(from: File, to: File) -> io::Result<()> {
    let length = from.metadata()?.len();
    let (from, to) = (Descriptor::from(from), Descriptor::from(to));
    let bar = ProgressBar::new(length).with_style(
        ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}").map_err(Error::other)?,
    );
    let mut starts = (0..length).step_by(BLOCK as usize);
    let mut next =
        || starts.next().map(|start| Part { position: start, end: length.min(start + BLOCK), written: None });
    let read =
        |part: &Part, buffer| Request::read(&from, buffer, part.position).at_most((part.end - part.position) as usize);

    let queue = Aio::new()?.queue();
    let mut parts = Vec::new();
    while parts.len() < IN_FLIGHT as usize
        && let Some(part) = next()
    {
        queue.submit(read(&part, Buffer::with_capacity(BLOCK as usize)).token(parts.len() as u64))?;
        parts.push(part);
    }
    while queue.outstanding() > 0 {
        let Some(Completion { token, result, buffer, .. }) = queue.reap(None) else { break };
        let part = &mut parts[token as usize];
        let written = match (result?, part.written) {
            (0, None) => return Err(Error::new(ErrorKind::UnexpectedEof, "the file has become shorter")),
            (0, Some(_)) => return Err(ErrorKind::WriteZero.into()),
            (_, None) => 0,
            (count, Some(before)) => before + count,
        };
        let request = if written < buffer.len() {
            // Read, or written in part: what is in the buffer goes on to the file.
            part.written = Some(written);
            Request::write(&to, buffer, part.position + written as u64).skip(written)
        } else {
            bar.inc(buffer.len() as u64);
            *part = Part { position: part.position + buffer.len() as u64, end: part.end, written: None };
            // A short read's rest comes first, then a new part.
            if part.position == part.end {
                let Some(new) = next() else { continue };
                *part = new;
            }
            read(part, buffer)
        };
        queue.submit(request.token(token))?;
    }
    queue.submit(Request::fsync(&to))?;
    queue.reap(None).map_or(Ok(0), |synced| synced.result)?;
    bar.finish();
    Ok(())
}
