//! Every keyword of drafts 4 to 2020-12, and where in it schemas are.

/// What a keyword's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// No schema.
    Plain,
    /// A schema.
    Schema,
    /// A list of schemas.
    List,
    /// A schema or, in older drafts, a list of schemas.
    SchemaOrList,
    /// Schemas by name. In `dependencies` also lists of names.
    Map,
}

/// Drafts in their order; the year for those that are called by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Era {
    Four,
    Six,
    Seven,
    Y2019,
    Y2020,
}

/// A keyword.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    /// The first and the last draft that have it.
    pub(crate) eras: (Era, Era),
    /// Whether it looks at the same value, and not at a part of it.
    pub(crate) is_in_place: bool,
    /// Whether it only describes.
    pub(crate) describes: bool,
}

const fn checks(name: &'static str) -> Known {
    Known { name, shape: Shape::Plain, eras: (Era::Four, Era::Y2020), is_in_place: false, describes: false }
}

const fn describes(name: &'static str) -> Known {
    Known { describes: true, ..checks(name) }
}

const fn inside(name: &'static str, shape: Shape) -> Known {
    Known { shape, ..checks(name) }
}

const fn in_place(name: &'static str, shape: Shape) -> Known {
    Known { is_in_place: true, ..inside(name, shape) }
}

const fn since(era: Era, known: Known) -> Known {
    Known { eras: (era, known.eras.1), ..known }
}

const fn until(era: Era, known: Known) -> Known {
    Known { eras: (known.eras.0, era), ..known }
}

/// The keyword of this name.
pub(crate) fn find(name: &str) -> Option<&'static Known> {
    KEYWORDS.iter().find(|known| known.name == name)
}

static KEYWORDS: &[Known] = &[
    checks("type"),
    checks("enum"),
    since(Era::Six, checks("const")),
    checks("multipleOf"),
    checks("maximum"),
    checks("exclusiveMaximum"),
    checks("minimum"),
    checks("exclusiveMinimum"),
    checks("maxLength"),
    checks("minLength"),
    checks("pattern"),
    checks("format"),
    checks("maxItems"),
    checks("minItems"),
    checks("uniqueItems"),
    checks("maxProperties"),
    checks("minProperties"),
    checks("required"),
    since(Era::Y2019, checks("dependentRequired")),
    since(Era::Y2019, checks("maxContains")),
    since(Era::Y2019, checks("minContains")),
    inside("properties", Shape::Map),
    inside("patternProperties", Shape::Map),
    inside("additionalProperties", Shape::Schema),
    since(Era::Six, inside("propertyNames", Shape::Schema)),
    inside("items", Shape::SchemaOrList),
    until(Era::Y2019, inside("additionalItems", Shape::Schema)),
    since(Era::Y2020, inside("prefixItems", Shape::List)),
    since(Era::Six, inside("contains", Shape::Schema)),
    since(Era::Y2019, inside("unevaluatedItems", Shape::Schema)),
    since(Era::Y2019, inside("unevaluatedProperties", Shape::Schema)),
    in_place("allOf", Shape::List),
    in_place("anyOf", Shape::List),
    in_place("oneOf", Shape::List),
    in_place("not", Shape::Schema),
    since(Era::Seven, in_place("if", Shape::Schema)),
    since(Era::Seven, in_place("then", Shape::Schema)),
    since(Era::Seven, in_place("else", Shape::Schema)),
    until(Era::Seven, in_place("dependencies", Shape::Map)),
    since(Era::Y2019, in_place("dependentSchemas", Shape::Map)),
    checks("$ref"),
    since(Era::Y2020, checks("$dynamicRef")),
    until(Era::Y2019, since(Era::Y2019, checks("$recursiveRef"))),
    describes("$anchor"),
    describes("$dynamicAnchor"),
    describes("$recursiveAnchor"),
    describes("$schema"),
    describes("$id"),
    describes("id"),
    describes("$vocabulary"),
    describes("$comment"),
    Known { describes: true, ..inside("definitions", Shape::Map) },
    Known { describes: true, ..inside("$defs", Shape::Map) },
    describes("title"),
    describes("description"),
    describes("default"),
    describes("example"),
    describes("examples"),
    describes("deprecated"),
    describes("readOnly"),
    describes("writeOnly"),
    describes("contentEncoding"),
    describes("contentMediaType"),
    Known { describes: true, ..inside("contentSchema", Shape::Schema) },
];
