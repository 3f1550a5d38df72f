//! What the fields of a service's GraphQL schema are said to cost.

use super::{Compiler, Wrong};
use model::documents::{CostDecoration, Key};
use plugin::Unreadable;
use serde_json::Value;

impl Compiler {
    pub(super) fn decoration(&mut self, key: &Key, new: Option<&Value>) -> Result<(), Wrong> {
        let service = key.parent().unwrap_or_default();
        let of_service = self.decorations.entry(service.to_owned()).or_default();
        let outcome = match new.map(CostDecoration::parse) {
            None => {
                of_service.remove(key.id());
                Ok(())
            }
            Some(Ok(decoration)) => {
                of_service.insert(key.id().to_owned(), Ok(decoration));
                Ok(())
            }
            Some(Err(error)) => {
                // One that was good stays as it was.
                if !matches!(of_service.get(key.id()), Some(Ok(_))) {
                    of_service.insert(key.id().to_owned(), Err(Unreadable(key.path().into())));
                }
                Err(error.into())
            }
        };
        self.rebuild_decorations(service);
        outcome
    }

    /// Takes note that a decoration must not be used: nobody knows then what its field costs.
    pub(super) fn break_decoration(&mut self, key: &Key) {
        let service = key.parent().unwrap_or_default();
        let of_service = self.decorations.entry(service.to_owned()).or_default();
        of_service.insert(key.id().to_owned(), Err(Unreadable(key.path().into())));
        self.rebuild_decorations(service);
    }

    fn rebuild_decorations(&mut self, service: &str) {
        let of_service = self.decorations.get(service).into_iter().flatten().map(|(_, decoration)| decoration.clone());
        let decorations: Result<Vec<CostDecoration>, Unreadable> = of_service.collect();
        let compile = self.plugins.iter().find_map(|plugin| plugin.description.decorations);
        match (decorations, compile) {
            (Ok(decorations), _) if decorations.is_empty() => {
                self.decorations.remove(service);
                self.snapshot.decorations.remove(service.as_bytes());
            }
            (Ok(decorations), Some(compile)) => {
                self.snapshot.decorations.insert(service.as_bytes(), Ok(compile(&decorations)));
            }
            (Err(unreadable), Some(_)) => self.snapshot.decorations.insert(service.as_bytes(), Err(unreadable)),
            // Nobody would read them.
            (_, None) => {}
        }
    }
}
