use super::{
    decorations::{Decorations, Live, Weights},
    document::{Argument, BadQuery, Document, Field, MAX_EXPANSION, Operation, Selection},
    upstream_schema::{FieldOfType, UpstreamSchema},
};
use serde_json::{Map, Value};

/// Selections that are looked at; one that stands in a fragment counts each time that the fragment is used. Documents that
/// people write have some hundreds.
const MAX_SELECTIONS: usize = 100_000;

/// What is charged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charge {
    /// Every field, by what is said of it.
    EveryField,
    /// Fields that say how many there may be, as often as they are resolved.
    Quantified,
}

/// What a request's cost is worked out from.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) decorations: Option<&'a Decorations>,
    pub(super) schema: Option<&'a UpstreamSchema>,
    /// The request's variables, where they count.
    pub(super) variables: Option<&'a Map<String, Value>>,
    /// Whether defaults of variables and arguments count.
    pub(super) uses_defaults: bool,
}

/// What the operation costs that will be executed; of several the most expensive.
pub(super) fn of(document: &Document, charge: Charge, known: Known<'_>) -> Result<f64, BadQuery> {
    let mut left = MAX_SELECTIONS;
    let mut most = 0.0_f64;
    for operation in &document.operations {
        let mut walk = Walk { document, operation, charge, known, left, using: Vec::new() };
        let cost = walk.operation()?;
        left = walk.left;
        // Infinitely many for nothing: that is no reason to let it through.
        most = if cost.is_nan() { f64::INFINITY } else { most.max(cost) };
    }
    Ok(most)
}

/// A walk through an operation.
struct Walk<'a> {
    document: &'a Document,
    operation: &'a Operation,
    charge: Charge,
    known: Known<'a>,
    left: usize,
    /// Fragments that are being looked at.
    using: Vec<&'a str>,
}

/// Where a selection stands.
struct Place<'a> {
    /// The type that it selects from.
    on: Option<&'a str>,
    live: Live,
    /// How often it is resolved.
    times: f64,
    /// How many are around it.
    above: usize,
}

impl<'a> Walk<'a> {
    fn operation(&mut self) -> Result<f64, BadQuery> {
        let on = self.known.schema.map(|schema| schema.root(self.operation.kind));
        let live = self.known.decorations.zip(on).map(|(decorations, on)| decorations.begin(on)).unwrap_or_default();
        let weights = self.known.decorations.map_or(Weights::NONE, |decorations| decorations.of(&live));
        let (add, mul, is_quantified) = self.numbers(weights, &[], None);
        let place = Place { on, live, times: 1.0, above: 0 };
        self.node(&self.operation.selections, place, add, mul, is_quantified)
    }

    /// What a field or an operation costs, with what is selected below it.
    fn node(
        &mut self,
        below: &'a [Selection],
        mut place: Place<'a>,
        add: f64,
        mul: f64,
        is_quantified: bool,
    ) -> Result<f64, BadQuery> {
        match self.charge {
            Charge::EveryField => Ok(self.selections(below, &place)? * mul + add),
            Charge::Quantified if is_quantified => {
                let own = place.times * add;
                place.times *= mul;
                Ok(own + self.selections(below, &place)?)
            }
            Charge::Quantified => self.selections(below, &place),
        }
    }

    fn selections(&mut self, selections: &'a [Selection], place: &Place<'a>) -> Result<f64, BadQuery> {
        if place.above > MAX_EXPANSION {
            return Err(BadQuery::Unreadable);
        }
        let mut sum = 0.0;
        for selection in selections {
            self.left = self.left.checked_sub(1).ok_or(BadQuery::TooLarge)?;
            sum += match selection {
                Selection::Field(field) => self.field(field, place)?,
                Selection::Inline(on, below) => self.fragment(on.as_deref(), below, place)?,
                Selection::Spread(name) => match self.document.fragments.get(name) {
                    // In a circle it is looked at once; servers refuse such a document.
                    Some(fragment) if !self.using.contains(&name.as_str()) => {
                        self.using.push(name);
                        let cost = self.fragment(Some(&fragment.on), &fragment.selections, place)?;
                        self.using.pop();
                        cost
                    }
                    _ => 0.0,
                },
            };
        }
        Ok(sum)
    }

    /// A fragment costs nothing of its own. On a type that the schema knows its fields are that type's.
    fn fragment(
        &mut self,
        on: Option<&'a str>,
        selections: &'a [Selection],
        place: &Place<'a>,
    ) -> Result<f64, BadQuery> {
        let on = on.filter(|on| self.known.schema.is_some_and(|schema| schema.has(on))).or(place.on);
        let live = match self.known.decorations {
            Some(decorations) => decorations.narrow(&place.live, on, place.on),
            None => Live::new(),
        };
        self.selections(selections, &Place { on, live, times: place.times, above: place.above + 1 })
    }

    fn field(&mut self, field: &'a Field, place: &Place<'a>) -> Result<f64, BadQuery> {
        let defined = self.known.schema.zip(place.on).and_then(|(schema, on)| schema.field(on, &field.name));
        let on = defined.and_then(|defined| defined.result.as_deref());
        let (live, weights) = match self.known.decorations.zip(place.on) {
            Some((decorations, of)) => {
                let live = decorations.advance(&place.live, &field.name, on);
                let weights = decorations.of_field(&live, of, &field.name);
                (live, weights)
            }
            None => (Live::new(), Weights::NONE),
        };
        let (add, mul, is_quantified) = self.numbers(weights, &field.arguments, defined);
        let below = Place { on, live, times: place.times, above: place.above + 1 };
        self.node(&field.selections, below, add, mul, is_quantified)
    }

    /// A field's own cost, its factor, and whether an argument says how many there may be.
    fn numbers(
        &self,
        weights: Weights<'_>,
        arguments: &[(String, Argument)],
        defined: Option<&FieldOfType>,
    ) -> (f64, f64, bool) {
        let counts = |names: &'_ [String]| -> Vec<f64> {
            names.iter().filter_map(|name| self.count(name, arguments, defined)).collect()
        };
        let added: f64 = counts(weights.add_arguments).into_iter().sum();
        let factors = counts(weights.mul_arguments);
        (weights.add + added, factors.iter().fold(weights.mul, |product, factor| product * factor), !factors.is_empty())
    }

    /// An argument that is a count: finite and not negative, for a negative one would be a discount.
    fn count(&self, name: &str, arguments: &[(String, Argument)], defined: Option<&FieldOfType>) -> Option<f64> {
        let written = arguments.iter().find(|(known, _)| known == name).and_then(|(_, value)| self.value(value));
        let by_default = || {
            let defined = defined.filter(|_| self.known.uses_defaults)?;
            defined.defaults.get(name).copied().flatten()
        };
        let number = written.unwrap_or_else(by_default);
        number.filter(|number| number.is_finite() && *number >= 0.0)
    }

    /// What an argument is for this request; `None` where nothing stands for it.
    fn value(&self, argument: &Argument) -> Option<Option<f64>> {
        match argument {
            Argument::Value(number) => Some(*number),
            Argument::Composite => None,
            Argument::Variable(name) => match self.known.variables.and_then(|variables| variables.get(name)) {
                Some(Value::Number(number)) => Some(number.as_f64()),
                Some(Value::String(text)) => Some(model::vars::number::parse_number(text.as_bytes())),
                Some(_) => Some(None),
                None => match self.operation.defaults.get(name).filter(|_| self.known.uses_defaults)? {
                    Argument::Value(number) => Some(*number),
                    Argument::Variable(_) | Argument::Composite => None,
                },
            },
        }
    }
}
