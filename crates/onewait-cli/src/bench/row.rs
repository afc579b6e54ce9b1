//! The rows of the table: what a program does to its file, and how many requests it keeps in flight.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Bytes of one request.
pub(crate) const BLOCK: usize = 4096;

/// The depths that are measured: a program that waits for each request, a busy one, and a saturated one.
const DEPTHS: [usize; 3] = [1, 32, 128];

/// By which calls a program asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Calls {
    /// Those of `<aio.h>`.
    Posix,
    /// Those of libaio.
    Libaio,
}

impl Calls {
    /// Who serves them without onewait.
    pub(crate) fn original(self) -> &'static str {
        match self {
            Calls::Posix => "glibc",
            Calls::Libaio => "native",
        }
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Calls::Posix => "aio.h",
            Calls::Libaio => "libaio",
        })
    }
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Op {
    Read,
    Write,
}

/// Where the pages are when a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cache {
    /// In the page cache: no request needs the disk.
    Cached,
    /// Buffered, but not in the page cache: every read needs the disk.
    Uncached,
    /// O_DIRECT: past the page cache.
    Direct,
}

impl Cache {
    pub(crate) const ALL: [Cache; 3] = [Cache::Cached, Cache::Uncached, Cache::Direct];
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Op::Read => "read",
            Op::Write => "write",
        })
    }
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cache::Cached => "cached",
            Cache::Uncached => "uncached",
            Cache::Direct => "O_DIRECT",
        })
    }
}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    pub(crate) calls: Calls,
    pub(crate) op: Op,
    pub(crate) cache: Cache,
    pub(crate) depth: usize,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}, depth {}", self.calls, self.cache, self.op, self.depth)
    }
}

/// All rows that pass `only`; no words at all mean every row.
pub(crate) fn rows(only: &[Word]) -> Vec<Row> {
    let mut rows = Vec::new();
    for calls in [Calls::Posix, Calls::Libaio] {
        for op in [Op::Read, Op::Write] {
            for cache in Cache::ALL {
                rows.extend(DEPTHS.map(|depth| Row { calls, op, cache, depth }));
            }
        }
    }
    rows.retain(|row| passes(only, *row));
    rows
}

/// Words of one kind widen each other, words of different kinds narrow: `reads,cached,direct` are the cached and the
/// direct reads.
fn passes(only: &[Word], row: Row) -> bool {
    let kind = |kind: fn(&Word) -> bool, hit: &dyn Fn(&Word) -> bool| {
        let mut words = only.iter().filter(|word| kind(word)).peekable();
        words.peek().is_none() || words.any(hit)
    };
    kind(|w| matches!(w, Word::Calls(_)), &|w| *w == Word::Calls(row.calls))
        && kind(|w| matches!(w, Word::Op(_)), &|w| *w == Word::Op(row.op))
        && kind(|w| matches!(w, Word::Cache(_)), &|w| *w == Word::Cache(row.cache))
        && kind(|w| matches!(w, Word::Depth(_)), &|w| *w == Word::Depth(row.depth))
}

/// One word of `--only`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Calls(Calls),
    Op(Op),
    Cache(Cache),
    Depth(usize),
}

impl FromStr for Word {
    type Err = String;

    fn from_str(word: &str) -> Result<Word, String> {
        Ok(match word {
            "posix" => Word::Calls(Calls::Posix),
            "libaio" => Word::Calls(Calls::Libaio),
            "read" | "reads" => Word::Op(Op::Read),
            "write" | "writes" => Word::Op(Op::Write),
            "cached" => Word::Cache(Cache::Cached),
            "uncached" => Word::Cache(Cache::Uncached),
            "direct" | "O_DIRECT" => Word::Cache(Cache::Direct),
            _ => match word.strip_prefix("depth=").unwrap_or(word).parse() {
                Ok(depth) if DEPTHS.contains(&depth) => Word::Depth(depth),
                _ => return Err("one of posix, libaio, reads, writes, cached, uncached, direct, 1, 32, 128".into()),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(words: &str) -> Vec<Row> {
        let words: Vec<Word> = words.split(',').map(|w| w.parse().expect("a word")).collect();
        rows(&words)
    }

    #[test]
    fn every_row_without_a_filter() {
        assert_eq!(rows(&[]).len(), 36);
    }

    #[test]
    fn words_of_one_kind_widen_and_of_two_narrow() {
        assert_eq!(only("reads").len(), 18);
        assert_eq!(only("reads,cached,direct").len(), 12);
        assert_eq!(only("libaio,writes,direct,depth=32").len(), 1);
    }

    #[test]
    fn an_unknown_word_is_refused() {
        assert!("sideways".parse::<Word>().is_err());
        assert!("7".parse::<Word>().is_err());
    }
}
