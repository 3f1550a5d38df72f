//! The frames in a client's bytes. Those that cost us and not the client are counted, and what h2 is lenient with is not.

use crate::H2Limits;
use bytes::Buf;
use h2::Reason;
use std::time::{Duration, Instant};

/// Length of a frame's header (RFC 9113, section 4.1).
const FRAME_HEADER: usize = 9;
/// Length of the client's preface.
const PREFACE: usize = 24;
/// The time over which frames are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// A receiver acknowledges what it reads: for so many bytes that it is sent, one more WINDOW_UPDATE is no flood.
const BYTES_PER_WINDOW_UPDATE: u64 = 16;
/// A receiver that estimates its bandwidth sends a PING now and then while it reads.
const BYTES_PER_PING: u64 = 4 << 10;
/// A client may say of each request what it depends on, and change its mind once.
const PRIORITIES_PER_REQUEST: u64 = 2;

const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const PADDED: u8 = 0x8;

/// Why a connection has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    /// For the log.
    pub(super) name: &'static str,
    /// For the client.
    pub(super) code: Reason,
}

/// Follows the frames of one connection.
#[derive(Debug)]
pub(super) struct Frames {
    bounds: H2Limits,
    is_begun: bool,
    /// Bytes that are to be passed over: the preface, then payloads.
    skip: usize,
    header: [u8; FRAME_HEADER],
    header_len: usize,
    /// Payload of a padded DATA frame whose first byte, the length of the padding, is still to come.
    padded: Option<usize>,
    continuations: u32,
    since: Instant,
    seen: Seen,
    out: Out,
}

/// Follows what the client is sent, for the streams that it made us reset.
#[derive(Debug, Default)]
struct Out {
    skip: usize,
    /// A frame's header, and the code of RST_STREAM behind it.
    head: [u8; FRAME_HEADER + 4],
    len: usize,
}

/// What came within the current window.
#[derive(Debug, Default)]
struct Seen {
    requests: u64,
    resets: u64,
    provoked: u64,
    settings: u64,
    pings: u64,
    empty_data: u64,
    window_updates: u64,
    priorities: u64,
    sent: u64,
}

impl Fault {
    const fn flood(name: &'static str) -> Self {
        Self { name, code: Reason::ENHANCE_YOUR_CALM }
    }
}

impl Frames {
    pub(super) fn new(bounds: H2Limits, now: Instant) -> Self {
        Self {
            bounds,
            is_begun: false,
            skip: PREFACE,
            header: [0; FRAME_HEADER],
            header_len: 0,
            padded: None,
            continuations: 0,
            since: now,
            seen: Seen::default(),
            out: Out::default(),
        }
    }

    /// Follows bytes that the client is sent.
    ///
    /// # Errors
    /// When the client made us reset too many streams (CVE-2025-8671).
    pub(super) fn sent(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.seen.sent += bytes.len() as u64;
        self.seen.provoked += self.out.follow(bytes);
        if self.seen.provoked > u64::from(self.bounds.resets) {
            Err(Fault::flood("h2-provoked-resets"))
        } else {
            Ok(())
        }
    }

    /// Follows bytes of the client.
    ///
    /// # Errors
    /// What came too often, or may not come at all.
    pub(super) fn follow(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Fault> {
        if now.duration_since(self.since) >= WINDOW {
            self.since = now;
            self.seen = Seen::default();
        }
        while let Some(&first) = bytes.first() {
            if self.skip > 0 {
                let n = self.skip.min(bytes.len());
                self.skip -= n;
                bytes.advance(n);
            } else if let Some(payload) = self.padded.take() {
                if payload == 1 + usize::from(first) {
                    self.count_empty_data()?;
                }
                self.skip = payload;
            } else {
                let n = (FRAME_HEADER - self.header_len).min(bytes.len());
                for (to, from) in self.header.iter_mut().skip(self.header_len).zip(bytes) {
                    *to = *from;
                }
                self.header_len += n;
                bytes.advance(n);
                if self.header_len == FRAME_HEADER {
                    self.header_len = 0;
                    self.check()?;
                    self.count()?;
                }
            }
        }
        Ok(())
    }

    /// Checks what h2 does not: that SETTINGS come first (RFC 9113, section 3.4), and, with the right code, the sizes of
    /// frames that have one (section 4.2).
    fn check(&mut self) -> Result<(), Fault> {
        let [a, b, c, kind, flags, ..] = self.header;
        let is_settings = kind == 4 && flags & ACK == 0;
        if !std::mem::replace(&mut self.is_begun, true) && !is_settings {
            return Err(Fault { name: "h2-no-settings", code: Reason::PROTOCOL_ERROR });
        }
        let payload = u32::from_be_bytes([0, a, b, c]);
        let is_right = match kind {
            2 => payload == 5,
            3 | 8 => payload == 4,
            4 if flags & ACK != 0 => payload == 0,
            4 => payload.is_multiple_of(6),
            6 => payload == 8,
            7 => payload >= 8,
            _ => true,
        };
        if is_right { Ok(()) } else { Err(Fault { name: "h2-frame-size-error", code: Reason::FRAME_SIZE_ERROR }) }
    }

    /// Counts the frame whose header is complete.
    fn count(&mut self) -> Result<(), Fault> {
        let [a, b, c, kind, flags, ..] = self.header;
        let payload = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.skip = payload;
        let (bounds, seen) = (&self.bounds, &mut self.seen);
        let (count, max, reason) = match kind {
            // DATA. The last frame of a body may be empty, and each stream has one last frame only.
            0 if flags & END_STREAM != 0 => return Ok(()),
            0 if flags & PADDED != 0 && payload > 0 => {
                self.skip = 0;
                self.padded = Some(payload);
                return Ok(());
            }
            0 if payload == 0 => return self.count_empty_data(),
            0 => return Ok(()),
            // HEADERS
            1 => {
                seen.requests += 1;
                self.continuations = 0;
                return Ok(());
            }
            // RST_STREAM (CVE-2023-44487)
            3 => (&mut seen.resets, u64::from(bounds.resets), "h2-reset-flood"),
            // SETTINGS (CVE-2019-9515)
            4 => (&mut seen.settings, u64::from(bounds.settings), "h2-settings-flood"),
            // PING (CVE-2019-9512)
            6 => (&mut seen.pings, u64::from(bounds.pings) + seen.sent / BYTES_PER_PING, "h2-ping-flood"),
            // WINDOW_UPDATE
            8 => (
                &mut seen.window_updates,
                u64::from(bounds.window_updates) + seen.sent / BYTES_PER_WINDOW_UPDATE,
                "h2-window-update-flood",
            ),
            // CONTINUATION (CVE-2024-27316): of one head, however slow they come.
            9 => {
                self.continuations += 1;
                return if self.continuations > bounds.continuations {
                    Err(Fault::flood("h2-continuation-flood"))
                } else {
                    Ok(())
                };
            }
            // PRIORITY, and what has no meaning here and is only read over.
            _ => (
                &mut seen.priorities,
                u64::from(bounds.priorities) + seen.requests * PRIORITIES_PER_REQUEST,
                "h2-priority-flood",
            ),
        };
        *count += 1;
        if *count > max { Err(Fault::flood(reason)) } else { Ok(()) }
    }

    /// DATA without content (CVE-2019-9518).
    fn count_empty_data(&mut self) -> Result<(), Fault> {
        self.seen.empty_data += 1;
        if self.seen.empty_data > u64::from(self.bounds.empty_data) {
            return Err(Fault::flood("h2-empty-data-flood"));
        }
        Ok(())
    }
}

impl Out {
    /// How many streams were reset for what the client did.
    fn follow(&mut self, mut bytes: &[u8]) -> u64 {
        let mut provoked = 0;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let n = self.skip.min(bytes.len());
                self.skip -= n;
                bytes.advance(n);
                continue;
            }
            for (to, from) in self.head.iter_mut().skip(self.len).zip([bytes.get_u8()]) {
                *to = from;
            }
            self.len += 1;
            let [a, b, c, kind, _, _, _, _, _, code @ ..] = self.head;
            let is_reset = kind == 3;
            if self.len < FRAME_HEADER || (is_reset && self.len < self.head.len()) {
                continue;
            }
            self.len = 0;
            if !is_reset {
                self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            } else if !matches!(
                Reason::from(u32::from_be_bytes(code)),
                Reason::NO_ERROR | Reason::INTERNAL_ERROR | Reason::CANCEL
            ) {
                provoked += 1;
            }
        }
        provoked
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test fails by panicking
mod tests {
    use super::*;

    fn bounds() -> H2Limits {
        H2Limits {
            resets: 3,
            settings: 3,
            pings: 3,
            empty_data: 3,
            window_updates: 3,
            priorities: 3,
            continuations: 3,
            ..H2Limits::default()
        }
    }

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![len[1], len[2], len[3], kind, flags, 0, 0, 0, 1];
        frame.extend_from_slice(payload);
        frame
    }

    const BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    /// After the preface and the first SETTINGS.
    fn begun(now: Instant) -> Frames {
        let bounds = bounds();
        let mut frames = Frames::new(H2Limits { settings: bounds.settings + 1, ..bounds }, now);
        frames.follow(BEGIN, now).unwrap();
        frames
    }

    #[test]
    fn each_kind_has_its_bound() {
        let now = Instant::now();
        for (kind, flags, payload, reason) in [
            (0, 0, &b""[..], "h2-empty-data-flood"),
            (0, PADDED, b"\x04\0\0\0\0", "h2-empty-data-flood"),
            (2, 0, b"12345", "h2-priority-flood"),
            (3, 0, b"1234", "h2-reset-flood"),
            (4, 0, b"", "h2-settings-flood"),
            (6, 0, b"12345678", "h2-ping-flood"),
            (8, 0, b"1234", "h2-window-update-flood"),
            (9, 0, b"x", "h2-continuation-flood"),
            (99, 0, b"x", "h2-priority-flood"),
        ] {
            let frame = frame(kind, flags, payload);
            // However the bytes are cut.
            for piece in [1, 2, 7, frame.len() * 3] {
                let mut frames = begun(now);
                for part in frame.repeat(3).chunks(piece) {
                    assert_eq!(frames.follow(part, now), Ok(()), "{kind} {piece}");
                }
                let fourth = frame.chunks(piece).try_for_each(|part| frames.follow(part, now));
                assert_eq!(fourth, Err(Fault::flood(reason)), "{kind} {piece}");
            }
        }
    }

    #[test]
    fn what_is_no_flood_is_not_counted() {
        let now = Instant::now();
        for (kind, flags, payload) in [
            (0, 0, &b"x"[..]),
            (0, END_STREAM, b""),
            (0, PADDED, b"\x03\0\0\0x"),
            (0, PADDED | END_STREAM, b"\x04\0\0\0\0"),
            (1, 4, b"x"),
        ] {
            let mut frames = begun(now);
            assert_eq!(frames.follow(&frame(kind, flags, payload).repeat(1000), now), Ok(()), "{kind} {flags}");
        }
    }

    #[test]
    fn windows_end() {
        let now = Instant::now();
        let mut frames = begun(now);
        let pings = frame(6, 0, b"12345678").repeat(3);
        assert_eq!(frames.follow(&pings, now), Ok(()));
        assert_eq!(frames.follow(&pings, now + WINDOW), Ok(()));
        assert_eq!(frames.follow(&pings, now + WINDOW), Err(Fault::flood("h2-ping-flood")));
        // The frames of one head are counted until it ends.
        let mut frames = begun(now);
        let piece = frame(9, 0, b"x").repeat(3);
        assert_eq!(frames.follow(&piece, now), Ok(()));
        assert_eq!(frames.follow(&piece, now + WINDOW), Err(Fault::flood("h2-continuation-flood")));
        let mut frames = begun(now);
        for _ in 0..100 {
            assert_eq!(frames.follow(&frame(1, 0, b"x"), now), Ok(()));
            assert_eq!(frames.follow(&piece, now), Ok(()));
        }
    }

    #[test]
    fn who_is_sent_much_may_say_more() {
        let now = Instant::now();
        let (updates, pings) = (frame(8, 0, b"1234"), frame(6, 0, b"12345678"));
        let mut frames = begun(now);
        frames.sent(&[vec![1, 0, 0, 0, 0, 0, 0, 0, 1], vec![0; 1 << 20]].concat()).unwrap();
        assert_eq!(frames.follow(&updates.repeat(1 << 16), now), Ok(()));
        assert_eq!(frames.follow(&pings.repeat(1 << 8), now), Ok(()));
        let mut frames = begun(now);
        for _ in 0..100 {
            assert_eq!(frames.follow(&frame(1, 4, b"x"), now), Ok(()));
            assert_eq!(frames.follow(&frame(2, 0, b"12345").repeat(2), now), Ok(()));
        }
    }

    #[test]
    fn sizes_are_those_of_the_rfc() {
        let now = Instant::now();
        for (kind, flags, right, wrong) in
            [(2, 0, 5, 4), (3, 0, 4, 5), (4, 0, 12, 7), (4, ACK, 0, 6), (6, 0, 8, 9), (7, 0, 20, 7), (8, 0, 4, 3)]
        {
            assert_eq!(begun(now).follow(&frame(kind, flags, &vec![0; right]), now), Ok(()), "{kind} {right}");
            let code = begun(now).follow(&frame(kind, flags, &vec![0; wrong]), now).map_err(|fault| fault.code);
            assert_eq!(code, Err(Reason::FRAME_SIZE_ERROR), "{kind} {wrong}");
        }
    }

    #[test]
    fn settings_come_first() {
        let now = Instant::now();
        let (preface, _) = BEGIN.split_at(PREFACE);
        for (kind, flags, payload) in [(1, 4, &b"x"[..]), (4, ACK, b""), (6, 0, b"12345678")] {
            let bytes = [preface, &frame(kind, flags, payload)].concat();
            let name = Frames::new(bounds(), now).follow(&bytes, now).map_err(|fault| fault.name);
            assert_eq!(name, Err("h2-no-settings"), "{kind}");
        }
    }

    #[test]
    fn resets_count_for_who_provokes_them() {
        let now = Instant::now();
        let reset = |code: Reason| frame(3, 0, &u32::from(code).to_be_bytes());
        let data = frame(0, 0, &[3; 100]);
        for piece in [1, 4, 13, 10_000] {
            let mut frames = begun(now);
            let ours = [data.clone(), reset(Reason::NO_ERROR), reset(Reason::INTERNAL_ERROR)].concat().repeat(100);
            assert!(ours.chunks(piece).all(|part| frames.sent(part).is_ok()), "{piece}");
            let theirs = [data.clone(), reset(Reason::PROTOCOL_ERROR)].concat();
            assert!(theirs.repeat(3).chunks(piece).all(|part| frames.sent(part).is_ok()), "{piece}");
            let fourth = theirs.chunks(piece).try_for_each(|part| frames.sent(part));
            assert_eq!(fourth, Err(Fault::flood("h2-provoked-resets")), "{piece}");
        }
    }
}
