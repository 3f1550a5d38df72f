const SEPARATOR: &[u8] = b": ";
const LINE_END: &[u8] = b"\r\n";

/// Header or trailer fields in the order and the case in which they were written.
///
/// All lines share one buffer, in the form in which HTTP/1 sends them (`name: value CR LF`), so that a head costs two allocations
/// and is written by copying lines.
/// Names are compared without regard to case (RFC 9110, section 5.1).
#[derive(Debug, Clone, Default)]
pub struct Fields {
    buf: Vec<u8>,
    entries: Vec<Entry>,
    /// Of these lines, and of some that were removed.
    seen: Names,
}

/// Which names there may be: one of 64 bits for each name, by its length and its ends. What is not in it is certainly not there, so
/// that most questions for a field that a message does not have are answered without looking at its lines.
#[derive(Debug, Clone, Copy, Default)]
pub struct Names(u64);

impl Names {
    /// These names.
    pub const fn of(names: &[&str]) -> Self {
        let mut all = 0;
        let mut rest = names;
        while let [name, more @ ..] = rest {
            all |= 1 << Self::tag(name.as_bytes());
            rest = more;
        }
        Self(all)
    }

    const fn has(self, tag: u8) -> bool {
        self.0 >> tag & 1 != 0
    }

    /// Which of the bits. Names that differ in nothing but the case of their letters have the same.
    #[inline]
    const fn tag(name: &[u8]) -> u8 {
        match name {
            [first, .., last] => {
                let (first, last) = ((*first | 0x20) as usize, (*last | 0x20) as usize);
                ((name.len() * 5 + first + last * 3) & 63) as u8
            }
            _ => 0,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Where the line begins.
    at: u32,
    value_len: u32,
    name_len: u16,
    /// The name's bit in [`Names`].
    tag: u8,
}

/// One line of [`Fields`].
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    entry: &'a Entry,
    buf: &'a [u8],
}

impl Fields {
    /// No fields.
    pub const fn new() -> Self {
        Self { buf: Vec::new(), entries: Vec::new(), seen: Names(0) }
    }

    /// A copy with room for so many more lines and bytes.
    pub fn clone_with_room(&self, lines: usize, bytes: usize) -> Self {
        let mut copy = Self::new();
        copy.entries.reserve_exact(self.entries.len() + lines);
        copy.entries.extend_from_slice(&self.entries);
        copy.buf.reserve_exact(self.buf.len() + bytes);
        copy.buf.extend_from_slice(&self.buf);
        copy.seen = self.seen;
        copy
    }

    /// Forgets all fields and keeps the memory.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.entries.clear();
        self.seen = Names(0);
    }

    /// Puts lines that were parsed out of `text` in the place of what there is. The text is copied in one piece, and lines that stand
    /// in it as HTTP/1 sends them stay where they are. There is room for so many `more` lines and bytes.
    pub fn adopt<'a>(
        &mut self,
        text: &'a [u8],
        parsed: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])>,
        more: (usize, usize),
    ) {
        self.clear();
        self.entries.reserve_exact(parsed.len() + more.0);
        self.buf.reserve_exact(text.len() + more.1);
        self.buf.extend_from_slice(text);
        let place = |part: &[u8]| (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
        for (name, value) in parsed {
            let (name_at, value_at) = (place(name), place(value));
            let is_as_sent = value_at == name_at.wrapping_add(name.len() + SEPARATOR.len())
                && text.get(name_at + name.len()..value_at) == Some(SEPARATOR)
                && text.get(value_at + value.len()..).is_some_and(|rest| rest.starts_with(LINE_END));
            if is_as_sent {
                let entry = Entry::new(name_at as u32, name, value);
                self.seen.0 |= 1 << entry.tag;
                self.entries.push(entry);
            } else {
                self.push(name, value);
            }
        }
    }

    /// Whether there may be a field of one of these names; `false` is certain.
    #[inline]
    pub fn may_have(&self, names: Names) -> bool {
        self.seen.0 & names.0 != 0
    }

    /// Number of field lines.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no field line.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends a field line. The caller vouches for the bytes; see [`Fields::is_name`] and [`Fields::is_value`].
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let entry = self.store(name, value);
        self.entries.push(entry);
    }

    /// The first value of a name.
    #[inline]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.find(name).next().map(Line::value)
    }

    /// The first value of a name, when it is UTF-8.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|v| std::str::from_utf8(v).ok())
    }

    /// Every value of a name, in order.
    #[inline]
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.find(name).map(Line::value)
    }

    /// Whether a name is present.
    #[inline]
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).next().is_some()
    }

    /// Gives a name exactly one value: in the place of its first line, or at the end.
    #[inline]
    pub fn set(&mut self, name: &str, value: &[u8]) {
        let may_be_there = self.seen.has(Names::tag(name.as_bytes()));
        let place = if may_be_there { self.lines().position(|line| line.is(name)) } else { None };
        match place {
            Some(at) => self.replace(at, name, value),
            None => self.push(name.as_bytes(), value),
        }
    }

    /// Puts a line in the place of the first of its name, and removes the others.
    fn replace(&mut self, at: usize, name: &str, value: &[u8]) {
        let entry = self.store(name.as_bytes(), value);
        let buf = &self.buf;
        let mut i = 0;
        self.entries.retain_mut(|e| {
            let is_first = i == at;
            i += 1;
            if is_first {
                *e = entry;
            }
            is_first || !Line { entry: e, buf }.is(name)
        });
    }

    /// Removes every line of a name; says whether there was one.
    #[inline]
    pub fn remove(&mut self, name: &str) -> bool {
        let is_there = self.contains(name);
        if is_there {
            self.remove_lines(|line| line.is(name));
        }
        is_there
    }

    /// Removes the lines for which `is_out` holds.
    #[inline]
    pub fn remove_lines(&mut self, mut is_out: impl FnMut(Line<'_>) -> bool) {
        let buf = &self.buf;
        self.entries.retain(|entry| !is_out(Line { entry, buf }));
    }

    /// Keeps the lines for which `keep(name, value)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        self.remove_lines(|line| !keep(line.name(), line.value()));
    }

    /// All lines as `(name, value)`, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines().map(|line| (line.name(), line.value()))
    }

    /// All lines, in order.
    #[inline]
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.entries.iter().map(|entry| Line { entry, buf: &self.buf })
    }

    /// The lines of a name.
    #[inline]
    fn find<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = Line<'a>> + use<'a, 'n> {
        let entries = if self.seen.has(Names::tag(name.as_bytes())) { self.entries.as_slice() } else { &[] };
        entries.iter().map(|entry| Line { entry, buf: &self.buf }).filter(move |line| line.is(name))
    }

    /// Whether the bytes are a field name (a token, RFC 9110, section 5.1).
    pub fn is_name(name: &[u8]) -> bool {
        !name.is_empty() && name.len() <= usize::from(u16::MAX) && name.iter().all(|&b| crate::method::is_token(b))
    }

    /// A name as applications read it that take `_` and `.` for `-`, in lower case.
    pub fn folded(name: &[u8]) -> impl Iterator<Item = u8> {
        name.iter().map(|&b| if matches!(b, b'_' | b'.') { b'-' } else { b.to_ascii_lowercase() })
    }

    /// Whether the bytes are a field value: no control bytes but tab, no space at the ends (RFC 9110, section 5.5).
    pub fn is_value(value: &[u8]) -> bool {
        value.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f))
            && !matches!(value.first(), Some(b' ' | b'\t'))
            && !matches!(value.last(), Some(b' ' | b'\t'))
    }

    fn store(&mut self, name: &[u8], value: &[u8]) -> Entry {
        let entry = Entry::new(self.buf.len() as u32, name, value);
        self.seen.0 |= 1 << entry.tag;
        self.buf.reserve(name.len() + value.len() + SEPARATOR.len() + LINE_END.len());
        self.buf.extend_from_slice(name);
        self.buf.extend_from_slice(SEPARATOR);
        self.buf.extend_from_slice(value);
        self.buf.extend_from_slice(LINE_END);
        entry
    }
}

impl Entry {
    #[inline]
    fn new(at: u32, name: &[u8], value: &[u8]) -> Self {
        Self { at, value_len: value.len() as u32, name_len: name.len() as u16, tag: Names::tag(name) }
    }
}

impl<'a> Line<'a> {
    /// The name, as it was written.
    #[inline]
    pub fn name(self) -> &'a [u8] {
        self.part(0, u32::from(self.entry.name_len))
    }

    /// The value.
    #[inline]
    pub fn value(self) -> &'a [u8] {
        self.part(u32::from(self.entry.name_len) + SEPARATOR.len() as u32, self.entry.value_len)
    }

    /// The line as HTTP/1 sends it.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        let framing = (SEPARATOR.len() + LINE_END.len()) as u32;
        self.part(0, u32::from(self.entry.name_len) + self.entry.value_len + framing)
    }

    /// Whether this is its name.
    #[inline]
    pub fn is(self, name: &str) -> bool {
        let Entry { tag, name_len, .. } = *self.entry;
        tag == Names::tag(name.as_bytes())
            && usize::from(name_len) == name.len()
            && self.name().eq_ignore_ascii_case(name.as_bytes())
    }

    /// Whether its name may be one of these; `false` is certain.
    #[inline]
    pub fn may_be(self, names: Names) -> bool {
        names.has(self.entry.tag)
    }

    #[inline]
    fn part(self, from: u32, len: u32) -> &'a [u8] {
        let at = (self.entry.at + from) as usize;
        self.buf.get(at..at + len as usize).unwrap_or_default()
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Fields {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(lines: T) -> Self {
        let mut fields = Self::new();
        for (name, value) in lines {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_keeps_the_place_and_removes_the_others() {
        let mut f: Fields = [("A", "1"), ("b", "2"), ("a", "3"), ("c", "4")].into_iter().collect();
        f.set("a", b"9");
        let lines: Vec<_> = f.iter().collect();
        assert_eq!(lines, [(&b"a"[..], &b"9"[..]), (b"b", b"2"), (b"c", b"4")]);
        f.set("d", b"5");
        assert_eq!(f.get("D"), Some(&b"5"[..]));
        assert!(f.remove("B") && !f.contains("b") && !f.remove("b"));
    }

    #[test]
    fn parsed_lines_are_taken_over_whatever_they_looked_like() {
        let text = b"A: 1\r\nB:2\r\nC:  3\r\nD: 4 \r\nE: \r\nf: 5\r\n\r\n";
        let part = |from: usize, to: usize| &text[from..to];
        let parsed = [
            (part(0, 1), part(3, 4)),
            (part(6, 7), part(8, 9)),
            (part(11, 12), part(15, 16)),
            (part(18, 19), part(21, 22)),
            (part(25, 26), &b""[..]),
            (part(30, 31), part(33, 34)),
        ];
        let mut f: Fields = [("Old", "1")].into_iter().collect();
        f.adopt(text, parsed.into_iter(), (1, 10));
        let lines: Vec<_> = f.lines().map(|line| String::from_utf8_lossy(line.bytes()).into_owned()).collect();
        assert_eq!(lines, ["A: 1\r\n", "B: 2\r\n", "C: 3\r\n", "D: 4\r\n", "E: \r\n", "f: 5\r\n"]);
        assert!(f.iter().eq(parsed) && !f.contains("old"));
        f.set("F", b"6");
        assert_eq!((f.get("f"), f.get("a"), f.len()), (Some(&b"6"[..]), Some(&b"1"[..]), 6));
    }

    #[test]
    fn what_is_there_is_never_taken_for_absent() {
        let names = ["", "a", "X-Forwarded-For", "x_forwarded_for", "Content-Length", "TE", "te", "[", "{", "0", "é"];
        for name in names {
            let f: Fields = [(name, "1")].into_iter().collect();
            for other in names {
                let is_same = name.eq_ignore_ascii_case(other);
                assert_eq!(f.contains(other), is_same, "{name} {other}");
                assert!(!is_same || f.may_have(Names::of(&["none", other])), "{name} {other}");
            }
            assert!(!f.clone_with_room(1, 1).get_all(name).eq([&b"2"[..]]) && f.clone_with_room(1, 1).contains(name));
        }
        assert!(!Fields::new().may_have(Names::of(&names)));
    }

    #[test]
    fn names_and_values_are_told_from_injections() {
        for bad in [&b""[..], b"a b", b"a:", b"a\r", b"\xff"] {
            assert!(!Fields::is_name(bad), "{bad:?}");
        }
        for bad in [&b" a"[..], b"a ", b"a\nb", b"a\0", b"\x7f"] {
            assert!(!Fields::is_value(bad), "{bad:?}");
        }
        assert!(Fields::is_value(b"") && Fields::is_value("ü".as_bytes()) && Fields::is_value(b"a\tb"));
    }
}
