//! Definitions of protobuf: the text of a file, or a set of compiled ones.

use base64::{Engine, engine::general_purpose::STANDARD};
use protox::{
    Compiler, Error,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver},
    prost_reflect::DescriptorPool,
};

/// Checks the content of a proto.
pub(super) fn check(content: &str) -> Result<(), String> {
    compile(content).map(drop).map_err(|why| format!("invalid content: {why}"))
}

fn compile(content: &str) -> Result<DescriptorPool, String> {
    // What is Base64 is no text of a definition, which has blanks and braces.
    if let Ok(set) = STANDARD.decode(content.trim_ascii()) {
        return DescriptorPool::decode(set.as_slice()).map_err(|error| error.to_string());
    }
    if let Some(line) = too_deep(content) {
        return Err(format!("nested deeper than {DEEPEST} levels at line {line}"));
    }
    let mut resolver = ChainFileResolver::new();
    resolver.add(OneFile(content.to_owned()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.open_file(NAME).map_err(|error| error.to_string())?;
    Ok(compiler.descriptor_pool())
}

/// There are no files that a definition could import, but those of protobuf itself.
struct OneFile(String);

impl FileResolver for OneFile {
    fn resolve_path(&self, path: &std::path::Path) -> Option<String> {
        path.to_str().filter(|path| *path == NAME).map(str::to_owned)
    }

    fn open_file(&self, name: &str) -> Result<File, Error> {
        if name == NAME { File::from_source(name, &self.0) } else { Err(Error::file_not_found(name)) }
    }
}

/// The line that is nested too deeply. The compiler reads messages within options recursively.
fn too_deep(content: &str) -> Option<usize> {
    let mut rest = content.as_bytes();
    let (mut depth, mut line) = (0usize, 1);
    while let Some((&byte, after)) = rest.split_first() {
        let skipped = match byte {
            b'/' if after.starts_with(b"/") => after.iter().position(|&b| b == b'\n').unwrap_or(after.len()),
            b'/' if after.starts_with(b"*") => memchr::memmem::find(after, b"*/").map_or(after.len(), |end| end + 2),
            b'"' | b'\'' => string_end(after, byte),
            b'{' | b'[' | b'<' => {
                depth += 1;
                if depth > DEEPEST {
                    return Some(line);
                }
                0
            }
            b'}' | b']' | b'>' => {
                depth = depth.saturating_sub(1);
                0
            }
            b'\n' => {
                line += 1;
                0
            }
            _ => 0,
        };
        let (skipped, next) = after.split_at(skipped);
        line += skipped.iter().filter(|&&b| b == b'\n').count();
        rest = next;
    }
    None
}

/// How long the rest of a string is, with its closing quote.
fn string_end(rest: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while let Some(&byte) = rest.get(at) {
        match byte {
            b'\\' => at += 2,
            // A string ends with its line: one that is not closed hides nothing.
            b'\n' => return at,
            _ if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

const NAME: &str = "content.proto";
const DEEPEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions() {
        let message = "syntax = \"proto3\";\npackage a;\nmessage M { int32 n = 1; }\n";
        let service = format!("{message}service S {{ rpc Call(M) returns (M); }}\n");
        let options = format!(
            "import \"google/protobuf/descriptor.proto\"; message O {{ optional O o = 1; }}
             extend google.protobuf.FileOptions {{ optional O o = 50000; }} option (o) = {}{};",
            "{ o ".repeat(100_000),
            "}".repeat(100_000)
        );
        let set = STANDARD.encode(compile(&service).unwrap().encode_to_vec());
        for (desc, content, want) in [
            ("a message", message, None),
            ("a service", &service, None),
            ("the second version", "message M { optional string s = 1; }", None),
            ("a well-known import", "import \"google/protobuf/any.proto\"; message M { }", None),
            ("a compiled set", &set, None),
            ("no definition", "service {", Some("")),
            ("a type that is nowhere", "service S { rpc Call(M) returns (M); }", Some("M")),
            ("an import that is nowhere", "import \"b.proto\";", Some("b.proto")),
            ("an import of itself", "import \"content.proto\";", Some("")),
            ("Base64 of something else", "aGVsbG8gd29ybGQ=", Some("")),
            ("messages in messages", &"message M {".repeat(100_000), Some("nested deeper")),
            ("options in options", &options, Some("nested deeper")),
            ("lists in lists", &format!("option o = {};", "[".repeat(100_000)), Some("nested deeper")),
            ("braces in a comment", &format!("/*{0}\n*/ //{0}\nmessage M {{}}", "{".repeat(100)), None),
            ("braces in a text", &format!("option java_package = \"\\\"{}\";", "{".repeat(100)), None),
            ("a quote that is not closed", &format!("'\n{}", "{".repeat(100_000)), Some("nested deeper")),
        ] {
            let found = check(content);
            match want {
                None => assert_eq!(found, Ok(()), "{desc}"),
                Some(part) => {
                    let why = found.expect_err(desc);
                    assert!(why.starts_with("invalid content: ") && why.contains(part), "{desc}: {why}");
                }
            }
        }
    }
}
