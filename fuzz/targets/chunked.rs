//! How a chunked body arrives never changes what it is, and hyper reads the same in what we accept.
#![no_main]

use engine::h1::{Chunk, Chunked};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // The first byte says in how large pieces the rest arrives.
    let Some((&size, data)) = data.split_first() else { return };
    let whole = oracle::decode([data]);
    assert_eq!(whole, oracle::decode(data.chunks(usize::from(size).max(1))));
    assert_eq!(whole, oracle::decode(data.chunks(1)));
    let Ok(Some((body, trailers))) = whole else { return };

    let mut input = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    input.extend_from_slice(data);
    let seen = oracle::request(&input).expect("the head is well-formed");
    assert_eq!(seen.body.as_deref(), Some(&body[..]), "hyper reads another body");
    for (name, value) in trailers {
        assert!(seen.trailers.contains(&(name.to_ascii_lowercase(), value)), "hyper does not see this trailer field");
    }
    // Behind the end there is nothing.
    let (mut chunked, mut at) = (Chunked::default(), 0);
    loop {
        match chunked.decode(&data[at..]) {
            Ok(Chunk::Skip(n) | Chunk::Data(n)) => {
                assert!(n > 0, "no progress");
                at += n;
            }
            Ok(Chunk::End(n, _)) => {
                assert_eq!(&data[at + n - 2..at + n], b"\r\n");
                assert!(matches!(chunked.decode(&data[at + n..]), Ok(Chunk::End(0, _))));
                break;
            }
            other => panic!("accepted before, now {other:?}"),
        }
    }
});
