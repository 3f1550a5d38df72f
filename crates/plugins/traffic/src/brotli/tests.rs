use super::*;
use std::io::Read;
use wire::Fields;

fn plugin(comp_level: i32, lgwin: i32, lgblock: i32, mode: u8) -> Brotli {
    let config = Config {
        types: Types::One("*".to_owned()),
        min_length: 1,
        mode,
        comp_level,
        lgwin,
        lgblock,
        http_version: 1.1,
        vary: None,
    };
    let (shared, null) = (Arc::default(), serde_json::Value::Null);
    let compat = model::differences::Compat::default();
    Brotli::build(config, &BuildEnv { shared: &shared, owner: "/routes/1", config: &null, attr: &null, compat })
        .unwrap()
}

fn code(plugin: &Brotli, frames: Vec<Frame>) -> Vec<Frame> {
    let (mut progress, mut out) = (Progress(Some(plugin.encoder())), Frames::new());
    for frame in frames {
        progress.encode(frame, &mut out).unwrap();
    }
    out.into_vec()
}

fn decode(frames: &[Frame]) -> io::Result<String> {
    let coded: Vec<u8> = frames
        .iter()
        .filter_map(|frame| match frame {
            Frame::Data(data) => Some(data.to_vec()),
            _ => None,
        })
        .flatten()
        .collect();
    let mut text = String::new();
    ::brotli::Decompressor::new(&*coded, BUFFER).read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn a_body_in_pieces_is_one_stream_with_every_setting() {
    let piece = |text: &'static str| Frame::Data(Bytes::from_static(text.as_bytes()));
    for (level, window, block, mode) in [(0, 10, 16, 0), (6, 19, 0, 1), (11, 24, 24, 2), (5, 0, 0, 0)] {
        let frames = vec![piece("hello "), piece("hello "), piece("world"), Frame::Trailers(Fields::new()), Frame::End];
        let sent = code(&plugin(level, window, block, mode), frames);
        assert_eq!(decode(&sent).unwrap(), "hello hello world", "{level} {window} {block} {mode}");
        assert!(matches!(&sent[sent.len() - 2..], [Frame::Trailers(_), Frame::End]));
    }
}

#[test]
fn pieces_go_out_at_once() {
    let sent = code(&plugin(6, 19, 0, 0), vec![Frame::Data(Bytes::from_static(b"one"))]);
    let Some(Frame::Data(coded)) = sent.first() else { panic!("nothing was sent") };
    let mut first = [0; 3];
    ::brotli::Decompressor::new(&**coded, BUFFER).read_exact(&mut first).unwrap();
    assert_eq!(&first, b"one");
}
