//! A response head that we accept means the same to hyper: status, fields, and where the body ends.
#![no_main]

use engine::{
    Limits,
    h1::{Framing, parse},
};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_first() else { return };
    let is_head = choice == b'H';
    let Ok(Some(end)) = parse::find_end(data, &mut 0) else { return };
    let (bytes, rest) = data.split_at(end);
    let Ok((head, version)) = parse::response(bytes, &Limits::default()) else { return };
    let Ok(framing) = Framing::of_response(&head.fields, version, head.status, is_head) else { return };
    // Interim responses do not come out of hyper; more than a hundred fields are too many for it.
    if head.status < 200 || head.fields.iter().count() > 100 {
        return;
    }
    let seen = oracle::response(data, is_head).expect("hyper refuses what we accept");
    assert_eq!(seen.status, head.status);
    let mut ours: Vec<_> = head.fields.iter().map(|(n, v)| (n.to_ascii_lowercase(), v.to_vec())).collect();
    let mut theirs = seen.fields;
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs);
    let body = match framing {
        Framing::None => Some(Vec::new()),
        Framing::Length(n) => {
            assert_eq!(seen.length, Some(n));
            usize::try_from(n).ok().and_then(|n| rest.get(..n)).map(<[u8]>::to_vec)
        }
        Framing::Chunked => match oracle::decode([rest]) {
            Ok(Some((body, _))) => Some(body),
            _ => None,
        },
        Framing::UntilClose => Some(rest.to_vec()),
    };
    if body.is_some() {
        assert_eq!(seen.body, body);
    }
});
