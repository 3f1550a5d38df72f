use super::*;
use serde_json::json;

fn echo(before: &str, body: &str, after: &str) -> Echo {
    let text = |text: &str| (!text.is_empty()).then(|| Bytes::from(text.to_owned()));
    Echo { before: text(before), body: text(body), after: text(after), headers: Vec::new() }
}

/// The frames that come out, each as text; `|` are trailers and `.` is the end.
fn run(echo: &Echo, frames: &[&'static str]) -> String {
    let (mut progress, mut text) = (Progress::default(), String::new());
    for frame in frames {
        let frame = match *frame {
            "." => Frame::End,
            "|" => Frame::Trailers(Fields::new()),
            data => Frame::Data(Bytes::from_static(data.as_bytes())),
        };
        let mut out = Frames::new();
        echo.pass(&mut progress, frame, &mut out);
        for frame in out {
            match frame {
                Frame::Data(data) => text.push_str(std::str::from_utf8(&data).unwrap()),
                Frame::Trailers(_) => text.push('|'),
                Frame::End => text.push('.'),
            }
        }
    }
    text
}

#[test]
fn text_goes_around_or_in_the_place_of_a_body() {
    for (desc, echo, frames, expected) in [
        ("around", echo("<", "", ">"), &["a", "b", "."][..], "<ab>."),
        ("around an empty body", echo("<", "", ">"), &["."], "<>."),
        ("before trailers", echo("<", "", ">"), &["a", "|", "."], "<a>|."),
        ("instead", echo("", "x", ""), &["a", "b", "."], "x."),
        ("instead of an empty body", echo("", "x", ""), &["."], "x."),
        ("instead, with both", echo("<", "x", ">"), &["a", "|", "."], "<x>."),
    ] {
        assert_eq!(run(&echo, frames), expected, "{desc}");
    }
}

#[test]
fn fields_of_the_old_body_go() {
    let mut fields: Fields =
        [("ETag", "1"), ("Content-Length", "2"), ("Content-Encoding", "gzip"), ("Last-Modified", "x"), ("A", "b")]
            .into_iter()
            .collect();
    echo("", "x", "").edit(&mut fields);
    assert_eq!(fields.iter().collect::<Vec<_>>(), [(&b"A"[..], &b"b"[..])]);
}

#[test]
fn headers_are_checked() {
    assert_eq!(header("a_b", &json!(1)).unwrap(), ("a-b".to_owned(), b"1".to_vec()));
    for (name, value) in
        [("", json!("x")), ("a:", json!("x")), ("a", json!("x\r\ny: z")), ("a", json!(true)), ("a", json!({}))]
    {
        assert!(header(name, &value).is_err(), "{name} {value}");
    }
}
