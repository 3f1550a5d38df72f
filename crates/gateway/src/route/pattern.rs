use model::settings::Router;
use smallvec::SmallVec;
use std::sync::Arc;

/// What `*` without a name is called among the parameters.
const UNNAMED: &str = ":ext";

/// A `uri` as compiled.
#[derive(Debug, Clone)]
pub struct UriPattern {
    /// As written.
    pub text: Arc<str>,
    /// What the path equals or begins with.
    pub(super) literal: Box<[u8]>,
    pub(super) is_prefix: bool,
    /// What the whole path is compared with, where the beginning does not say all.
    segments: Option<Arc<[Segment]>>,
}

#[derive(Debug)]
enum Segment {
    Literal(Box<[u8]>),
    /// `:name`: one segment that is not empty.
    Parameter(Arc<str>),
    /// `*name`: anything, slashes included.
    Rest(Arc<str>),
}

impl UriPattern {
    /// Compiles a pattern: exact, or a prefix up to its first `*`; with parameters up to its first `:`, if it has one.
    pub fn new(text: &str, router: Router) -> Self {
        let parameter = if router == Router::UriWithParameter { text.find(':') } else { None };
        let cut = parameter.or_else(|| text.find('*'));
        let literal = text.get(..cut.unwrap_or(text.len())).unwrap_or(text);
        let says_all = cut.is_none_or(|at| parameter.is_none() && at + 1 == text.len());
        let segments = if says_all { None } else { segments(text) };
        Self { text: text.into(), literal: literal.as_bytes().into(), is_prefix: cut.is_some(), segments }
    }

    /// Whether a path fits.
    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        let begins = if self.is_prefix { path.starts_with(&self.literal) } else { *path == *self.literal };
        begins && self.fits(path)
    }

    /// Whether it is for one path only, and how many bytes of a path it names from the beginning on.
    pub(crate) fn reach(&self) -> (bool, usize) {
        (!self.is_prefix, self.literal.len())
    }

    /// Whether a path that begins with the literal part fits the rest too.
    pub(super) fn fits(&self, path: &[u8]) -> bool {
        self.segments.as_deref().is_none_or(|segments| places(segments, path).is_some())
    }

    /// The parameters of a path that fits. The rest behind a `*` at the end is no parameter here: who wants it can cut it.
    pub(super) fn parameters(&self, path: &[u8]) -> Vec<(Arc<str>, Vec<u8>)> {
        let Some(segments) = self.segments.as_deref() else { return Vec::new() };
        let Some(places) = places(segments, path) else { return Vec::new() };
        let mut found: Vec<(Arc<str>, Vec<u8>)> = Vec::new();
        for (segment, (from, to)) in segments.iter().zip(places) {
            let (Segment::Parameter(name) | Segment::Rest(name)) = segment else { continue };
            let value = path.get(from..to).unwrap_or_default().to_vec();
            match found.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known = value,
                None => found.push((name.clone(), value)),
            }
        }
        found
    }
}

/// `None` when no segment stands for anything but itself: then the part before the first `*` or `:` is all that is compared.
fn segments(text: &str) -> Option<Arc<[Segment]>> {
    let segments: Arc<[Segment]> = text
        .split('/')
        .map(|segment| match (segment.strip_prefix(':'), segment.strip_prefix('*')) {
            (Some(name), _) => Segment::Parameter(name.into()),
            (_, Some("")) => Segment::Rest(UNNAMED.into()),
            (_, Some(name)) => Segment::Rest(name.into()),
            (None, None) => Segment::Literal(segment.as_bytes().into()),
        })
        .collect();
    segments.iter().any(|segment| !matches!(segment, Segment::Literal(_))).then_some(segments)
}

/// Which bytes of the path each segment of the pattern stands for. From several `*` the first takes as much as it can.
///
/// Works from the end: there the last `*` takes as little as it can, and only the last one that was passed ever has to take more.
/// So its time is bounded by the product of both lengths, whatever a client sends.
fn places(pattern: &[Segment], path: &[u8]) -> Option<SmallVec<[(usize, usize); 8]>> {
    let mut bounds: SmallVec<[(usize, usize); 16]> = SmallVec::new();
    let mut begin = 0;
    for segment in path.split(|&b| b == b'/') {
        bounds.push((begin, begin + segment.len()));
        begin += segment.len() + 1;
    }
    let mut places: SmallVec<[(usize, usize); 8]> = SmallVec::from_elem((0, 0), pattern.len());
    let (mut left, mut unread) = (pattern.len(), bounds.len());
    let mut star: Option<(usize, usize)> = None;
    while left > 0 || unread > 0 {
        let here = unread.checked_sub(1).and_then(|at| bounds.get(at).copied());
        let next = left.checked_sub(1).and_then(|at| pattern.get(at));
        let fits = match (next, here) {
            (Some(Segment::Literal(text)), Some((from, to))) => path.get(from..to) == Some(&**text),
            (Some(Segment::Parameter(_)), Some((from, to))) => from < to,
            (Some(Segment::Rest(_)), Some(_)) => true,
            _ => false,
        };
        if fits {
            (left, unread) = (left - 1, unread - 1);
            if let Some(Segment::Rest(_)) = next {
                star = Some((left, unread));
            }
            *places.get_mut(left)? = here?;
            continue;
        }
        let (at, taken) = star?;
        let taken = taken.checked_sub(1)?;
        places.get_mut(at)?.0 = bounds.get(taken)?.0;
        (left, unread, star) = (at, taken, Some((at, taken)));
    }
    Some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(pattern: &str, router: Router, path: &str) -> Option<Vec<(String, String)>> {
        let pattern = UriPattern::new(pattern, router);
        let is_candidate = match pattern.is_prefix {
            true => path.as_bytes().starts_with(&pattern.literal),
            false => path.as_bytes() == &*pattern.literal,
        };
        let found = pattern.parameters(path.as_bytes()).into_iter();
        let found = found.map(|(name, value)| (name.to_string(), String::from_utf8(value).unwrap())).collect();
        (is_candidate && pattern.fits(path.as_bytes())).then_some(found)
    }

    /// A pattern, the router, a path, and the parameters if it fits.
    type Row<'a> = (&'a str, Router, &'a str, Option<&'a [(&'a str, &'a str)]>);

    #[test]
    fn patterns_fit_and_give_their_parameters() {
        let (host_uri, with) = (Router::HostUri, Router::UriWithParameter);
        let rows: &[Row<'_>] = &[
            ("/a", with, "/a", Some(&[])),
            ("/user/:id", with, "/user/7", Some(&[("id", "7")])),
            ("/user/:id", with, "/user/", None),
            ("/user/:id", with, "/user/7/x", None),
            ("/user/:id/", with, "/user/7/", Some(&[("id", "7")])),
            ("/user/:id/", with, "/user/7", None),
            ("/user/:id/of/:place", with, "/user/7/of/x y", Some(&[("id", "7"), ("place", "x y")])),
            ("/:a/:a", with, "/1/2", Some(&[("a", "2")])),
            ("/:id/*rest", with, "/7/x/y\n", Some(&[("id", "7"), ("rest", "x/y\n")])),
            ("/:id/*", with, "/7/", Some(&[("id", "7"), (":ext", "")])),
            ("/f/*path", host_uri, "/f/x/y", Some(&[("path", "x/y")])),
            ("/f/*path/end", host_uri, "/f/x/end/end", Some(&[("path", "x/end")])),
            ("/f/*path/end", host_uri, "/f/x/ends", None),
            ("/f/*/end", host_uri, "/f//end", Some(&[(":ext", "")])),
            ("/*a/x/*b", host_uri, "/1/x/2/x/3", Some(&[("a", "1/x/2"), ("b", "3")])),
            ("/*a/x/*b/x/*c", host_uri, "/1/x/2/x/3/x/4", Some(&[("a", "1/x/2"), ("b", "3"), ("c", "4")])),
            // `:` is itself for the others, but not behind a `*`, as in APISIX.
            ("/user/:id", host_uri, "/user/7", None),
            ("/user/:id", host_uri, "/user/:id", Some(&[])),
            ("/x/*/:id", host_uri, "/x/a/b", Some(&[(":ext", "a"), ("id", "b")])),
            // No segment stands for anything: the beginning is all that counts, as in APISIX.
            ("/v1/items:batch", with, "/v1/items", Some(&[])),
            ("/a*b", host_uri, "/ac", Some(&[])),
            ("/*/:id", with, "/x/7", None),
        ];
        for (pattern, router, path, want) in rows {
            let want =
                want.map(|want| want.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>());
            assert_eq!(parameters(pattern, *router, path), want, "{pattern} {path}");
        }
    }

    #[test]
    fn many_stars_cost_no_more_than_both_lengths() {
        let pattern = UriPattern::new(&"/*/a".repeat(500), Router::HostUri);
        let path = "/a".repeat(4000);
        assert!(pattern.fits(path.as_bytes()));
        assert!(!pattern.fits(format!("{path}/b").as_bytes()));
    }
}
