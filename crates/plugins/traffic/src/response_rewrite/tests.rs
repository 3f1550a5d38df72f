use super::{
    body::{Filter, Filters, Progress},
    coding::{Coding, tests::gzip},
};
use bytes::Bytes;
use plugin::{BodyLimits, Frames, PluginError};
use serde_json::json;
use wire::{Fields, Frame};

fn filters(max: u64, is_strict: bool) -> Filters {
    let config = serde_json::from_value(json!({ "regex": "a", "replace": "-", "scope": "global", "options": "jo" }));
    Filters { filters: vec![Filter::compile(&config.unwrap()).unwrap()], max, is_strict }
}

/// What is sent of a body that comes in pieces; `|` are trailers, `.` is the end.
fn run(filters: &Filters, limits: &BodyLimits, coding: Coding, frames: Vec<Frame>) -> Result<String, PluginError> {
    let mut progress = filters.begin(limits, coding, &Fields::new())?;
    let mut out = Frames::new();
    for frame in frames {
        progress.filter(filters, frame, &mut out)?;
    }
    let text = out.into_iter().map(|frame| match frame {
        Frame::Data(data) => String::from_utf8(data.to_vec()).unwrap(),
        Frame::Trailers(_) => "|".to_owned(),
        Frame::End => ".".to_owned(),
    });
    Ok(text.collect())
}

fn pieces(body: &[u8], size: usize) -> Vec<Frame> {
    let data = body.chunks(size).map(|piece| Frame::Data(Bytes::copy_from_slice(piece)));
    data.chain([Frame::Trailers(Fields::new()), Frame::End]).collect()
}

#[test]
fn a_body_in_pieces_is_filtered_as_one() {
    let limits = BodyLimits::default();
    let coded = gzip("abca");
    for (desc, coding, body) in [("as it is", Coding::None, &b"abca"[..]), ("coded", Coding::Gzip, &coded)] {
        for size in [1, 3, 1000] {
            let sent = run(&filters(1000, true), &limits, coding.clone(), pieces(body, size));
            assert_eq!(sent.unwrap(), "-bc-|.", "{desc} {size}");
        }
    }
    assert_eq!(run(&filters(9, true), &limits, Coding::None, vec![Frame::End]).unwrap(), ".");
    assert_eq!(limits.held(), 0);
}

#[test]
fn what_filters_cannot_see_whole_is_not_sent() {
    let limits = BodyLimits::default();
    let bomb = gzip(&"a".repeat(1000));
    let broken = b"no gzip".to_vec();
    for (desc, coding, body, max) in [
        ("too long", Coding::None, b"aaaa".to_vec(), 3),
        ("too long when decoded", Coding::Gzip, bomb, 999),
        ("not what it says", Coding::Gzip, broken.clone(), 100),
    ] {
        assert!(run(&filters(max, true), &limits, coding, pieces(&body, 2)).is_err(), "{desc}");
    }
    assert!(filters(9, true).begin(&limits, Coding::Unknown("x".to_owned()), &Fields::new()).is_err());
    assert_eq!(limits.held(), 0);
    // As APISIX.
    assert_eq!(run(&filters(3, false), &limits, Coding::None, pieces(b"aabaa", 2)).unwrap(), "--b|.");
    assert_eq!(run(&filters(100, false), &limits, Coding::Gzip, pieces(&broken, 2)).unwrap(), "no gzip|.");
}

#[test]
fn held_bodies_share_the_budget() {
    let limits = BodyLimits::new(6, 0, 0);
    // The body, and what it is decoded to.
    assert!(run(&filters(100, true), &limits, Coding::None, pieces(b"bcd", 1)).is_ok());
    assert!(run(&filters(100, true), &limits, Coding::None, pieces(b"bcde", 1)).is_err());
    assert_eq!(limits.held(), 0);
}

#[test]
fn another_body_is_sent_once() {
    let mut progress = Progress::Replacing { is_sent: false };
    let mut out = Frames::new();
    for frame in pieces(b"abc", 1) {
        progress.replace(&Bytes::from_static(b"new"), frame, &mut out);
    }
    assert!(matches!(&out[..], [Frame::Data(data), Frame::Trailers(_), Frame::End] if data == "new"));
}
