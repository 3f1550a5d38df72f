use std::{
    cell::RefCell,
    time::{SystemTime, UNIX_EPOCH},
};

thread_local! {
    static DATE: RefCell<(u64, [u8; 29])> = const { RefCell::new((0, [0; 29])) };
}

/// Appends the current time as an HTTP date (RFC 9110, section 5.6.7); formatted once a second and thread.
pub fn http_date(out: &mut Vec<u8>) {
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    DATE.with_borrow_mut(|(cached, text)| {
        if *cached != second {
            let formatted = httpdate::fmt_http_date(now);
            if let Ok(bytes) = <[u8; 29]>::try_from(formatted.as_bytes()) {
                (*cached, *text) = (second, bytes);
            }
        }
        out.extend_from_slice(text);
    });
}
