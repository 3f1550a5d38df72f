use super::*;
use flate2::read::GzDecoder;
use std::io::Read;
use wire::Fields;

fn code(flushes: bool, pieces: &[&str]) -> Vec<Frames> {
    let mut progress = Progress::Coding { encoder: Box::new(GzEncoder::new(Vec::new(), Compression::new(1))), flushes };
    let frames = pieces.iter().map(|piece| Frame::Data(Bytes::copy_from_slice(piece.as_bytes())));
    let frames = frames.chain([Frame::Trailers(Fields::new()), Frame::End]);
    frames
        .map(|frame| {
            let mut out = Frames::new();
            progress.encode(frame, &mut out).unwrap();
            out
        })
        .collect()
}

fn data(frames: &[Frames]) -> Vec<u8> {
    let data = frames.iter().flatten().filter_map(|frame| match frame {
        Frame::Data(data) => Some(data.to_vec()),
        _ => None,
    });
    data.flatten().collect()
}

#[test]
fn a_body_in_pieces_is_one_stream() {
    for flushes in [false, true] {
        let sent = code(flushes, &["hello ", "hello ", "world"]);
        let mut text = String::new();
        GzDecoder::new(&*data(&sent)).read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello hello world");
        // Trailers follow the end of the stream, and nothing follows the end.
        assert!(matches!(&sent[3][..], [Frame::Data(_), Frame::Trailers(_)]));
        assert!(matches!(&sent[4][..], [Frame::End]));
    }
}

#[test]
fn a_stream_goes_out_piece_by_piece() {
    let sent = code(true, &["one", "two"]);
    let mut first = [0; 3];
    GzDecoder::new(&*data(&sent[..1])).read_exact(&mut first).unwrap();
    assert_eq!(&first, b"one");
}
