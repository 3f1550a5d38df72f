use super::{Chunk, Chunked, Framing};
use bytes::BytesMut;
use wire::{BodyLength, Frame};

/// A message's body on its way in, of either direction: what of it is still to come.
#[derive(Debug)]
pub(super) enum Incoming {
    /// Nothing.
    Done,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Box<Chunked>),
    /// Everything until the connection closes.
    UntilClose,
}

impl From<Framing> for Incoming {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Done,
            Framing::Length(n) => Self::Length(n),
            Framing::Chunked => Self::Chunked(Box::default()),
            Framing::UntilClose => Self::UntilClose,
        }
    }
}

impl Incoming {
    /// What is known of the length.
    pub(super) fn length(&self) -> BodyLength {
        match self {
            Self::Done => BodyLength::None,
            Self::Length(n) => BodyLength::Exact(*n),
            Self::Chunked(_) | Self::UntilClose => BodyLength::Unknown,
        }
    }

    /// Bytes that one read should have room for: what is to come, up to `max`; `otherwise` where that is not known.
    pub(super) fn wanted(&self, max: usize, otherwise: usize) -> usize {
        match self {
            Self::Length(left) => usize::try_from(*left).unwrap_or(max).clamp(512, max),
            _ => otherwise,
        }
    }

    /// The next frame out of what was read; `None` when more has to be read first. After the end it stays the end.
    ///
    /// # Errors
    /// The reason why the body is malformed.
    pub(super) fn take(&mut self, read: &mut BytesMut) -> Result<Option<Frame>, &'static str> {
        loop {
            let n = match self {
                Self::Done => return Ok(Some(Frame::End)),
                _ if read.is_empty() => return Ok(None),
                Self::UntilClose => read.len(),
                Self::Length(left) => {
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
                    *left -= n as u64;
                    if *left == 0 {
                        *self = Self::Done;
                    }
                    n
                }
                Self::Chunked(decoder) => match decoder.decode(read)? {
                    Chunk::More => return Ok(None),
                    Chunk::Skip(n) => {
                        let _ = read.split_to(n);
                        continue;
                    }
                    Chunk::Data(n) => n,
                    Chunk::End(n, trailers) => {
                        let _ = read.split_to(n);
                        *self = Self::Done;
                        return Ok(Some(if trailers.is_empty() { Frame::End } else { Frame::Trailers(trailers) }));
                    }
                },
            };
            return Ok(Some(Frame::Data(read.split_to(n).freeze())));
        }
    }
}
